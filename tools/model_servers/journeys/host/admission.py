"""Admits what a host should serve to its GPUs, before anything of it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from model_servers.core import admission
from model_servers.core.admission import Admission, Admitted, Candidate
from model_servers.core.crowding import Crew, Machine
from model_servers.core.entries import layout_of
from model_servers.core.gpus import HEADROOM_MIB, Gpus, visible
from model_servers.core.host import Desired, HostState, Refusal, ServedVersion, Wanted
from model_servers.core.names import Ref
from model_servers.core.overlay import DEVICE_IDS, WORKERS, changes_only_workers
from model_servers.core.placement import (
    CONTEXT_MIB,
    Ask,
    Misfit,
    ask,
    context_seen_mib,
    tenant_seen,
)
from model_servers.core.profile import Update
from model_servers.core.release import Release
from model_servers.core.spec import Serving
from model_servers.errors import OutsideError, RefusedError
from model_servers.journeys import parallel
from model_servers.journeys.host.refusing import unless_given
from model_servers.journeys.released_bytes import Archives
from model_servers.ports import ModelStore

ReadConfig = Callable[[Release, Callable[[int, int], bytes]], Serving]
"""Reads the model config in an archive; OutsideError if its bytes are wrong."""


class GpuProbe(Protocol):
    """Sees the GPUs of this machine."""

    def gpus(self) -> Gpus:
        """Look at all of them.

        Raises:
            OutsideError: there is a driver, and it fails, or loses one of them.
        """

    def mask(self, pids: Sequence[int]) -> str | None:
        """Give the CUDA_VISIBLE_DEVICES of the TorchServe with these workers."""


@dataclass(frozen=True, kw_only=True)
class Admit:
    """Admission on one host."""

    probe: GpuProbe
    model_store: ModelStore
    archives: Archives
    read_config: ReadConfig
    machine: Machine
    headroom_mib: int = HEADROOM_MIB
    context_mib: int = CONTEXT_MIB

    def run(
        self, desired: Desired, observed: HostState, *, allow_downtime: bool = False
    ) -> tuple[Desired, Admission]:
        """Decide on every model of which a version is to be registered.

        Nothing is looked at where none is.

        Returns:
            What is wanted, with the GPUs of each version that comes, and refusals
            for models that have no room; and how that was decided.

        Raises:
            OutsideError: the store does not answer.
        """
        if not any(_changing(one, observed) for one in desired.values()):
            return desired, Admission()
        gpus = self._gpus(observed)
        registered = list(self._registered(observed)) if gpus.devices else []
        names = sorted(desired.keys() | observed.managed())
        candidates = parallel.each(
            lambda name: self._candidate(
                name,
                desired.get(name),
                observed,
                context_mib=self._context_mib(name, registered, gpus),
            ),
            names,
        )
        asked = dict(zip(names, candidates, strict=True))
        found = admission.admit(
            [
                Candidate(name=name) if isinstance(one, Refusal) else one
                for name, one in asked.items()
            ],
            gpus,
            [
                tenant_seen(one, gpus, pids=served.pids, device_ids=served.device_ids)
                for one, served in registered
            ],
            machine=self.machine,
            allow_downtime=allow_downtime,
        )
        return {
            name: _admitted(one, asked[name], found.decisions[name], observed)
            for name, one in desired.items()
        }, found

    def _gpus(self, observed: HostState) -> Gpus:
        """Look at the GPUs; without NVML's word, none is given to anybody."""
        pids = [
            pid
            for versions in observed.served.values()
            for one in versions
            for pid in one.pids
        ]
        try:
            gpus = visible(self.probe.gpus(), self.probe.mask(pids))
        except OutsideError as error:
            return Gpus(why_none=str(error), is_unknown=True)
        return replace(
            gpus,
            devices=tuple(
                replace(device, keep_mib=self.headroom_mib) for device in gpus.devices
            ),
        )

    def _registered(self, observed: HostState) -> Iterator[tuple[Ask, ServedVersion]]:
        """Yield the versions on the server that are on GPUs, or may be.

        What others registered has promised nothing; what it holds counts.
        """
        for ref in observed.installed:
            served = observed.find(ref)
            if served is None:
                continue
            serving = Serving()
            # Of one that has rotted, what it holds counts.
            with suppress(OutsideError):
                serving = self.model_store.serving(ref)
            asked = ask(
                ref.name,
                str(ref.version),
                serving,
                archive_bytes=0,
                context_mib=self.context_mib,
            )
            if asked is not None:
                yield asked, served

    def _context_mib(
        self, name: str, registered: Iterable[tuple[Ask, ServedVersion]], gpus: Gpus
    ) -> int:
        """Say what a worker of a model takes beside tensors: more if more is seen.

        Only its own workers tell: one that holds more than it should must not take
        the room of others.
        """
        seen_mib = (
            context_seen_mib(asked, gpus, pids=served.pids)
            for asked, served in registered
            if asked.name == name
        )
        return max([self.context_mib, *seen_mib])

    def _candidate(
        self,
        name: str,
        wanted: Wanted | Refusal | None,
        observed: HostState,
        *,
        context_mib: int,
    ) -> Candidate | Refusal:
        served = [one.version for one in observed.served.get(name, ())]
        if wanted is None:
            return Candidate(name=name, goes=tuple(served))
        if isinstance(wanted, Refusal):
            return wanted
        changing = _changing(wanted, observed)
        try:
            asks = [
                (release, self._serving(release, wanted, observed))
                for release in changing
            ]
        except RefusedError as error:
            return Refusal(reason=str(error), hint=error.hint)
        kept = {str(release.ref.version) for release in wanted.releases}
        anew = {str(release.ref.version) for release in changing}
        return Candidate(
            name=name,
            comes=tuple(
                asked
                for release, serving in asks
                if (asked := _ask(release, serving, wanted, observed, context_mib))
            ),
            crews=tuple(Crew.of(release, serving) for release, serving in asks),
            goes=tuple(version for version in served if version not in kept),
            goes_before=tuple(version for version in served if version in anew),
            update=wanted.update,
        )

    def _serving(
        self, release: Release, wanted: Wanted, observed: HostState
    ) -> Serving:
        """Read what a version's own model config asks, and this host's profile."""
        released = self._released(release, observed)
        return released.with_overlay(wanted.overlay)

    def _released(self, release: Release, observed: HostState) -> Serving:
        """Read a version's own model config: from the disk if it is here."""
        installed = observed.installed.get(release.ref)
        if installed and installed.sha256 == release.archive.sha256:
            return self._on_disk(release.ref)
        with unless_given(self.archives.store, f"the model config of {release.ref}"):
            return self.read_config(release, self.archives.reader(release))

    def _on_disk(self, ref: Ref) -> Serving:
        try:
            return self.model_store.released_serving(ref)
        except OutsideError as error:
            reason = f"the model config of {ref} cannot be read: {error}"
            raise RefusedError(reason, hint=error.hint) from error


def _ask(
    release: Release,
    serving: Serving,
    wanted: Wanted,
    observed: HostState,
    context_mib: int,
) -> Ask | None:
    """Say what a version asks of GPUs, if anything.

    ``deviceIds`` of a model count where there are GPUs; a host that is given some has
    to have them. A version that only gets more workers stays on the GPUs that it has.
    """
    asked = ask(
        release.ref.name,
        str(release.ref.version),
        serving,
        archive_bytes=release.archive.size_bytes,
        context_mib=context_mib,
    )
    if asked is None:
        return None
    if not _comes(release, wanted, observed):
        served = observed.find(release.ref)
        if served is None or served.device == "cpu":
            return None
        return replace(asked, device_ids=served.device_ids or asked.device_ids)
    return replace(asked, must_be_gpu=asked.must_be_gpu or DEVICE_IDS in wanted.overlay)


def _changing(wanted: Wanted | Refusal, observed: HostState) -> list[Release]:
    """Give the releases that are to be registered, loaded anew, or get more workers."""
    if isinstance(wanted, Refusal):
        return []
    return [
        one
        for one in wanted.releases
        if _comes(one, wanted, observed) or _grows(one, wanted, observed)
    ]


def _comes(release: Release, wanted: Wanted, observed: HostState) -> bool:
    served, installed = observed.find(release.ref), observed.installed.get(release.ref)
    if served is None or installed is None:
        return True
    if layout_of(release.ref, served.location) is None:
        return True
    overlay = wanted.overlay_of(release.ref, installed)
    return installed.sha256 != release.archive.sha256 or not (
        installed.overlay == overlay or changes_only_workers(installed.overlay, overlay)
    )


def _grows(release: Release, wanted: Wanted, observed: HostState) -> bool:
    """Say whether a version that goes on serving gets more workers."""
    served = observed.find(release.ref)
    workers = wanted.overlay.get(WORKERS)
    return served is not None and workers is not None and workers > served.workers


def _admitted(
    wanted: Wanted | Refusal,
    asked: Candidate | Refusal,
    decision: Admitted | Misfit,
    observed: HostState,
) -> Wanted | Refusal:
    if isinstance(asked, Refusal):
        return asked
    if isinstance(wanted, Refusal):
        return wanted
    if isinstance(decision, Misfit):
        return Refusal(reason=decision.reason, hint=decision.hint)
    placed = {
        release.ref: {DEVICE_IDS: list(placement.device_ids)}
        for release in wanted.releases
        if _comes(release, wanted, observed)
        and (placement := decision.placements.get(str(release.ref.version)))
        and placement.device_ids
    }
    update = Update.RESOURCE if decision.old_goes_first else wanted.update
    return replace(wanted, placed=placed, update=update)
