"""Admits the changes of a host one after the other: each to GPUs with room for it.

Nothing is registered that would not fit: a GPU that runs out of memory takes down
the models that were there before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from model_servers.core.crowding import Crew, Machine, why_crowded
from model_servers.core.gpus import Device, Gpus, Tenant, vacated
from model_servers.core.placement import Ask, Misfit, Placement, place, tenant
from model_servers.core.profile import Update


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is to happen to one model, as far as memory is concerned."""

    name: str
    comes: tuple[Ask, ...] = ()
    """The versions to be registered that want a GPU."""

    goes: tuple[str, ...] = ()
    """The versions to be taken off the server, after what comes if that fits."""

    goes_before: tuple[str, ...] = ()
    """Those that must go first in any case, as a version loaded anew must."""

    update: Update = Update.AUTO
    crews: tuple[Crew, ...] = ()
    """The workers of what comes, whether they want a GPU or not."""


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A change that has room."""

    placements: Mapping[str, Placement] = field(default_factory=dict)
    """By version: what its model config must say on this host."""

    old_goes_first: bool = False
    """No version answers for a while."""


@dataclass(frozen=True, kw_only=True)
class DeviceUse:
    """What a plan does to the memory of one device."""

    device: Device
    held_mib: int
    """Promised to versions that are there when the plan begins."""

    peak_mib: int
    """The most that is promised at any moment of the plan."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What has room on a host, in the order in which it was asked."""

    decisions: Mapping[str, Admitted | Misfit] = field(default_factory=dict)
    """By model."""

    crowded: Mapping[str, str] = field(default_factory=dict)
    """By version: of what the machine has too little for its workers. They come."""

    uses: tuple[DeviceUse, ...] = ()
    why_no_gpu: str = ""

    @property
    def refused(self) -> dict[str, Misfit]:
        """Give the models that must stay as they are."""
        return {
            name: one for name, one in self.decisions.items() if isinstance(one, Misfit)
        }

    def placements(self) -> dict[tuple[str, str], Placement]:
        """Give where each version goes, by model and version."""
        return {
            (name, version): placement
            for name, one in self.decisions.items()
            if isinstance(one, Admitted)
            for version, placement in one.placements.items()
        }


@dataclass(frozen=True)
class _Host:
    """The devices and who is on them, at one moment of a plan."""

    gpus: Gpus
    tenants: Mapping[tuple[str, str], Tenant]
    peak_mib: Mapping[int, int] = field(default_factory=dict)

    def without(self, name: str, versions: Sequence[str]) -> _Host:
        """Give the host once versions of a model are gone."""
        gone = {(name, version) for version in versions} & self.tenants.keys()
        leaving = [self.tenants[key] for key in gone]
        before = list(self.tenants.values())
        return replace(
            self,
            gpus=replace(
                self.gpus,
                devices=tuple(
                    vacated(device, before, leaving) for device in self.gpus.devices
                ),
            ),
            tenants={key: one for key, one in self.tenants.items() if key not in gone},
        )

    def having(self, newcomer: Tenant) -> _Host:
        """Give the host once another version is there."""
        key = (newcomer.name, newcomer.version)
        return replace(self, tenants={**self.tenants, key: newcomer}).noted()

    def noted(self) -> _Host:
        """Give the host with what is promised now, if that is the most."""
        return replace(
            self,
            peak_mib={
                device.index: max(
                    self.peak_mib.get(device.index, 0),
                    sum(
                        one.device_mib.get(device.index, 0)
                        for one in self.tenants.values()
                    ),
                )
                for device in self.gpus.devices
            },
        )


def admit(
    candidates: Sequence[Candidate],
    gpus: Gpus,
    tenants: Iterable[Tenant],
    *,
    machine: Machine,
    allow_downtime: bool = False,
) -> Admission:
    """Place what comes to a host, change by change, or refuse the change.

    Args:
        candidates: the changes, in the order in which they will be done.
        gpus: what the host has.
        tenants: the versions that are registered now, and use GPUs.
        machine: what the host has beside GPUs.
        allow_downtime: a person has agreed that a model does not answer for a while.
    """
    host = _Host(gpus, {(one.name, one.version): one for one in tenants}).noted()
    before = host.peak_mib
    decisions: dict[str, Admitted | Misfit] = {}
    for candidate in candidates:
        decisions[candidate.name], host = _decided(candidate, host, allow_downtime)
    return Admission(
        decisions=decisions,
        crowded=dict(_crowded(candidates, decisions, gpus, machine)),
        uses=tuple(
            DeviceUse(
                device=device,
                held_mib=before[device.index],
                peak_mib=host.peak_mib[device.index],
            )
            for device in gpus.devices
        ),
        why_no_gpu="" if gpus.devices else gpus.why_none,
    )


def _crowded(
    candidates: Iterable[Candidate],
    decisions: Mapping[str, Admitted | Misfit],
    gpus: Gpus,
    machine: Machine,
) -> Iterator[tuple[str, str]]:
    """Yield the versions that come without a GPU, and are too much for the machine."""
    for candidate in candidates:
        if isinstance(decisions[candidate.name], Misfit):
            continue
        for crew in candidate.crews:
            is_on_cpu = not (crew.wants_gpu and gpus.devices)
            if is_on_cpu and (why := why_crowded(crew, machine)):
                yield f"{candidate.name}@{crew.version}", why


def _decided(
    candidate: Candidate,
    host: _Host,
    allow_downtime: bool,  # noqa: FBT001 - passed on
) -> tuple[Admitted | Misfit, _Host]:
    """Decide on one change, and give the host after it; the same if it is refused."""
    sticky = _devices_of(candidate.name, host)
    start = host.without(candidate.name, candidate.goes_before)
    together, after = _placed(candidate, start, sticky)
    can_give_way = bool(candidate.goes and candidate.comes)
    if candidate.update is not Update.RESOURCE or not can_give_way:
        if isinstance(together, Admitted):
            return together, after.without(candidate.name, candidate.goes)
        if not can_give_way:
            return together, host
    apart, after = _placed(
        candidate, start.without(candidate.name, candidate.goes), sticky
    )
    if isinstance(apart, Misfit):
        return apart, host
    if isinstance(together, Misfit) and candidate.update is Update.AVAILABILITY:
        return _beside(together), host
    if isinstance(together, Misfit) and not (
        allow_downtime or candidate.update is Update.RESOURCE
    ):
        return _needs_consent(together), host
    return replace(apart, old_goes_first=True), after


def _placed(
    candidate: Candidate, host: _Host, sticky: set[int]
) -> tuple[Admitted | Misfit, _Host]:
    """Place all that comes, one beside the other."""
    placements: dict[str, Placement] = {}
    for wanted in candidate.comes:
        found = place(wanted, host.gpus, list(host.tenants.values()), sticky=sticky)
        if isinstance(found, Misfit):
            return found, host
        placements[wanted.version] = found
        host = host.having(tenant(wanted, found))
    return Admitted(placements=placements), host


def _devices_of(name: str, host: _Host) -> set[int]:
    return {
        index
        for one in host.tenants.values()
        if one.name == name
        for index, mib in one.device_mib.items()
        if mib
    }


def _beside(misfit: Misfit) -> Misfit:
    return replace(
        misfit,
        reason=f"{misfit.reason} beside the version that answers now",
        hint="say `update: resource` in the host profile, and add --allow-downtime; "
        "nothing answers meanwhile",
    )


def _needs_consent(misfit: Misfit) -> Misfit:
    return replace(
        misfit,
        reason="it fits only once the old version is gone",
        hint="add --allow-downtime, or say `allow_downtime: true` in the policy of the "
        "host profile",
    )
