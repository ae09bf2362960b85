"""Gives every version that a plan registers its GPUs, or refuses it beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from model_servers.core import admission
from model_servers.core.admission import Admission, Policy
from model_servers.core.gpus import Gpus, Tenant, visible
from model_servers.core.host import Desired, HostState
from model_servers.core.names import Ref
from model_servers.core.placement import CONTEXT_MIB, Ask, ask, tenant_seen
from model_servers.core.plan import Plan, Register
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
    policy: Policy = Policy.AUTO
    context_mib: int = CONTEXT_MIB

    def run(
        self,
        plan: Plan,
        desired: Desired,
        observed: HostState,
        *,
        allow_downtime: bool = False,
    ) -> Admission:
        """Give the plan with a placement at every version that it registers.

        Nothing is looked at for a plan that registers nothing.

        Raises:
            OutsideError: NVML fails, or a model config cannot be read.
        """
        registers = any(
            isinstance(action, Register)
            for change in plan.changes
            for action in change.actions
        )
        if not registers:
            return Admission(plan=plan)
        pids = [
            pid
            for versions in observed.served.values()
            for one in versions
            for pid in one.pids
        ]
        gpus = visible(self.probe.gpus(), self.probe.mask(pids))
        return admission.admit(
            plan,
            gpus,
            list(self._tenants(observed, gpus)) if gpus.devices else [],
            lambda ref: self._ask(ref, desired, observed),
            policy=self.policy,
            allow_downtime=allow_downtime,
        )

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
