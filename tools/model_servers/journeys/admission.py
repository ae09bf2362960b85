"""Admits a plan to the GPUs of a host, before anything of it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from model_servers.core import admission
from model_servers.core.admission import Admission, Candidate, Order
from model_servers.core.gpus import Gpus, Tenant, visible
from model_servers.core.host import Desired, HostState
from model_servers.core.names import Ref
from model_servers.core.placement import CONTEXT_MIB, Ask, Misfit, ask, tenant_seen
from model_servers.core.plan import Action, Change, Drain, Plan, Register, Unregister
from model_servers.core.release import Release
from model_servers.core.spec import Serving
from model_servers.journeys.released_bytes import ReleasedBytes
from model_servers.ports import ModelStore, Store

ReadConfig = Callable[[Release, Callable[[int, int], bytes]], Serving]
"""Reads the model config in an archive; OutsideError if its bytes are wrong."""


class GpuProbe(Protocol):
    """Sees the GPUs of this machine."""

    def gpus(self) -> Gpus:
        """Look at all of them; OutsideError if there is a driver, and it fails."""

    def mask(self, pids: Sequence[int]) -> str | None:
        """Give the CUDA_VISIBLE_DEVICES of the TorchServe with these workers."""


@dataclass(frozen=True, kw_only=True)
class Admit:
    """Admission on one host."""

    probe: GpuProbe
    model_store: ModelStore
    store: Store
    read_config: ReadConfig
    order: Order = Order.AUTO
    context_mib: int = CONTEXT_MIB

    def run(
        self,
        plan: Plan,
        desired: Desired,
        observe: Callable[[], HostState],
        *,
        allow_downtime: bool = False,
    ) -> Admission:
        """Decide on every change that registers something.

        Nothing is looked at for a plan that registers nothing.

        Raises:
            OutsideError: NVML fails, or a model config cannot be read.
        """
        if not any(_registered(change) for change in plan.changes):
            return Admission()
        observed = observe()
        gpus = self._gpus(observed)
        return admission.admit(
            [self._candidate(one, desired, observed) for one in plan.pending()],
            gpus,
            list(self._tenants(observed, gpus)) if gpus.devices else [],
            allow_downtime=allow_downtime,
        )

    def _gpus(self, observed: HostState) -> Gpus:
        pids = [
            pid
            for versions in observed.served.values()
            for one in versions
            for pid in one.pids
        ]
        return visible(self.probe.gpus(), self.probe.mask(pids))

    def _tenants(self, observed: HostState, gpus: Gpus) -> Iterator[Tenant]:
        """Yield the versions on the server that are on GPUs, or may be.

        What others registered has promised nothing; what it holds counts.
        """
        for ref in observed.installed:
            served = observed.find(ref)
            if served is None:
                continue
            asked = self._read(ref, self.model_store.serving(ref), archive_bytes=0)
            if asked is not None:
                yield tenant_seen(
                    asked, gpus, pids=served.pids, device_ids=served.device_ids
                )

    def _candidate(
        self, change: Change, desired: Desired, observed: HostState
    ) -> Candidate:
        asks = [self._ask(ref, desired, observed) for ref in _registered(change)]
        gone = [one.version for one in change.actions if isinstance(one, Unregister)]
        first = tuple(
            version
            for version in gone
            if any(str(ref.version) == version for ref in _registered(change))
        )
        return Candidate(
            name=change.name,
            comes=tuple(asked for asked in asks if asked is not None),
            goes=tuple(version for version in gone if version not in first),
            goes_before=first,
            order=self.order,
        )

    def _ask(self, ref: Ref, desired: Desired, observed: HostState) -> Ask | None:
        release = desired[ref.name]
        installed = observed.installed.get(ref)
        if installed is not None and installed.sha256 == release.archive.sha256:
            serving = self.model_store.serving(ref)
        else:
            read_range = ReleasedBytes(self.store, release).read_range
            serving = self.read_config(release, read_range)
        return self._read(ref, serving, archive_bytes=release.archive.size_bytes)

    def _read(self, ref: Ref, serving: Serving, *, archive_bytes: int) -> Ask | None:
        return ask(
            ref.name,
            str(ref.version),
            serving,
            archive_bytes=archive_bytes,
            context_mib=self.context_mib,
        )


def admitted(plan: Plan, found: Admission) -> Plan:
    """Give *plan* as it was admitted.

    Refused changes do nothing; where there is no room for two versions, the old one
    goes first, once the new one has been fetched.
    """
    return Plan(tuple(_admitted(change, found) for change in plan.changes))


def _admitted(change: Change, found: Admission) -> Change:
    decision = found.decisions.get(change.name)
    if isinstance(decision, Misfit):
        return replace(change, actions=(), reason=f"refused: {decision.reason}")
    if decision is not None and decision.old_goes_first:
        return replace(
            change,
            actions=_old_first(change.actions),
            reason="the old version goes first; nothing answers until the new one does",
        )
    return change


def _registered(change: Change) -> list[Ref]:
    return [one.ref for one in change.actions if isinstance(one, Register)]


def _old_first(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """Order actions so that what goes does so just before something is registered."""
    first = next(i for i, one in enumerate(actions) if isinstance(one, Register))
    before, after = actions[:first], actions[first:]
    going = tuple(one for one in after if isinstance(one, (Drain, Unregister)))
    coming = tuple(one for one in after if not isinstance(one, (Drain, Unregister)))
    return before + going + coming
