"""Admits the changes of a plan one after the other: each to devices with room for it.

Nothing is registered that would not fit: a GPU that runs out of memory takes down
the models that were there before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from model_servers.core.gpus import Device, Gpus, Tenant
from model_servers.core.names import Ref
from model_servers.core.placement import Ask, Misfit, Placement, place, tenant
from model_servers.core.plan import Action, Change, Drain, Plan, Register, Unregister


class Policy(Enum):
    """What may give way when a new version comes."""

    AUTO = "auto"
    """Both versions at once where they fit, else one after the other."""

    AVAILABILITY = "availability"
    """Both at once, or not at all."""

    RESOURCE = "resource"
    """The old one goes first, always."""


Asks = Callable[[Ref], "Ask | None"]
"""What a version that is to be registered asks of GPUs."""

Key = tuple[str, str]
"""The name and version of a tenant."""


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
    """A plan of which every change has room, and what did not have any."""

    plan: Plan
    """Its refused changes have no actions."""

    refused: Mapping[str, Misfit] = field(default_factory=dict)
    downtime: tuple[str, ...] = ()
    """Models of which no version answers for a while."""

    devices: tuple[DeviceUse, ...] = ()
    gpus: Gpus = field(default_factory=Gpus)

    def placements(self) -> dict[Ref, Placement]:
        """Say where every version goes that is to be registered."""
        return {
            action.ref: action.placement
            for change in self.plan.changes
            for action in change.actions
            if isinstance(action, Register) and action.placement is not None
        }


@dataclass
class _Host:
    """The devices and who is on them, as the plan goes on."""

    gpus: Gpus
    tenants: dict[Key, Tenant]
    peak_mib: dict[int, int] = field(default_factory=dict)

    def note(self) -> None:
        for device in self.gpus.devices:
            held = _held_mib(device, self.tenants.values())
            before = self.peak_mib.get(device.index, 0)
            self.peak_mib[device.index] = max(before, held)


def admit(
    plan: Plan,
    gpus: Gpus,
    tenants: Iterable[Tenant],
    asks: Asks,
    *,
    policy: Policy = Policy.AUTO,
    allow_downtime: bool = False,
) -> Admission:
    """Place what a plan registers, in the plan's order, or refuse the change.

    Args:
        plan: what the host is to do; the old versions of a change go last in it.
        gpus: what the host has.
        tenants: the versions that are registered now, and use GPUs.
        asks: gives what a version to be registered asks for.
        policy: what may give way.
        allow_downtime: a person has agreed to it.
    """
    host = _Host(gpus, {(one.name, one.version): one for one in tenants})
    host.note()
    held_mib = dict(host.peak_mib)
    changes: list[Change] = []
    refused: dict[str, Misfit] = {}
    downtime: list[str] = []
    for change in plan.changes:
        found = _admitted(change, host, asks, policy, allow_downtime=allow_downtime)
        if isinstance(found, Misfit):
            refused[change.name] = found
            found = replace(change, actions=(), reason=f"refused: {found.reason}")
        elif _goes_first(found) and not _goes_first(change):
            downtime.append(change.name)
        changes.append(found)
    return Admission(
        plan=Plan(tuple(changes)),
        refused=refused,
        downtime=tuple(downtime),
        devices=tuple(
            DeviceUse(
                device=device,
                held_mib=held_mib[device.index],
                peak_mib=host.peak_mib[device.index],
            )
            for device in gpus.devices
        ),
        gpus=gpus,
    )


def _admitted(
    change: Change, host: _Host, asks: Asks, policy: Policy, *, allow_downtime: bool
) -> Change | Misfit:
    together = _tried(change, host, asks)
    old_first = _old_first(change)
    is_enough = not isinstance(together, Misfit) and policy is not Policy.RESOURCE
    if is_enough or old_first == change.actions:
        return _taken(together, host)
    if isinstance(together, Misfit) and policy is Policy.AVAILABILITY:
        return replace(
            together,
            reason=f"{together.reason} beside the version that answers now",
            hint="set the policy to resource, and add --allow-downtime",
        )
    apart = _tried(
        replace(
            change,
            actions=old_first,
            reason="the old version goes first; nothing answers until the new one does",
        ),
        host,
        asks,
    )
    if isinstance(apart, Misfit) or allow_downtime:
        return _taken(apart, host)
    return Misfit(
        reason="it fits only once the old version is gone"
        if isinstance(together, Misfit)
        else "the policy is that the old version goes first",
        details=together.details if isinstance(together, Misfit) else (),
        hint="add --allow-downtime; nothing answers until the new version does",
    )


def _tried(change: Change, host: _Host, asks: Asks) -> tuple[Change, _Host] | Misfit:
    """Walk a change's actions; give it with placements, and the host after it."""
    after = _Host(host.gpus, dict(host.tenants), dict(host.peak_mib))
    sticky = {
        index
        for one in host.tenants.values()
        if one.name == change.name
        for index, mib in one.device_mib.items()
        if mib
    }
    actions: list[Action] = []
    for action in change.actions:
        if isinstance(action, Unregister):
            after.tenants.pop((action.name, action.version), None)
        elif isinstance(action, Register):
            wanted = asks(action.ref)
            if wanted is not None:
                placed = place(
                    wanted, host.gpus, list(after.tenants.values()), sticky=sticky
                )
                if isinstance(placed, Misfit):
                    return placed
                action = replace(action, placement=placed)  # noqa: PLW2901
                after.tenants[wanted.name, wanted.version] = tenant(wanted, placed)
                after.note()
        actions.append(action)
    return replace(change, actions=tuple(actions)), after


def _taken(tried: tuple[Change, _Host] | Misfit, host: _Host) -> Change | Misfit:
    """Let the host be as it is after a change."""
    if isinstance(tried, Misfit):
        return tried
    change, after = tried
    host.tenants, host.peak_mib = after.tenants, after.peak_mib
    return change


def _old_first(change: Change) -> tuple[Action, ...]:
    """Order a change so that what it takes off the server goes before what comes.

    What is fetched is fetched before, so that the gap is as short as can be.
    """
    first = next(
        (i for i, one in enumerate(change.actions) if isinstance(one, Register)), None
    )
    if first is None:
        return change.actions
    before, after = change.actions[:first], change.actions[first:]
    going = tuple(one for one in after if isinstance(one, (Drain, Unregister)))
    coming = tuple(one for one in after if not isinstance(one, (Drain, Unregister)))
    return before + going + coming


def _goes_first(change: Change) -> bool:
    """Say whether a version that drains goes before one that is registered."""
    kinds = [type(action) for action in change.actions]
    return (
        Register in kinds
        and Drain in kinds
        and kinds.index(Drain) < kinds.index(Register)
    )


def _held_mib(device: Device, tenants: Iterable[Tenant]) -> int:
    return sum(one.device_mib.get(device.index, 0) for one in tenants)
