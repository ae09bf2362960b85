"""What a host must do to get from the observed state to the desired one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from model_servers.core.canonical import sha256_of
from model_servers.core.host import Desired, HostState, ServedVersion
from model_servers.core.names import Ref, Version
from model_servers.core.release import Release


class Sign(Enum):
    """How a model changes, as plans show it."""

    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    REPAIR = "!"
    KEEP = "="


@dataclass(frozen=True)
class Install:
    """Bring a release onto the disk: fetched, verified, unpacked, requirements."""

    ref: Ref
    sha256: str
    fetch_bytes: int
    """What has to come from the store; members that are on the host do not."""


@dataclass(frozen=True)
class Register:
    """Register a version and wait until all its workers are ready."""

    ref: Ref


@dataclass(frozen=True)
class Revive:
    """Start the workers of a registered version anew."""

    ref: Ref


@dataclass(frozen=True)
class Probe:
    """Have a version answer its golden requests."""

    ref: Ref


@dataclass(frozen=True)
class SetDefault:
    """Let a version answer requests that name no version."""

    ref: Ref


@dataclass(frozen=True)
class Drain:
    """Wait until nobody waits for a version any more."""

    name: str
    version: str


@dataclass(frozen=True)
class Unregister:
    """Take a version off the server."""

    name: str
    version: str


Action = Install | Register | Revive | Probe | SetDefault | Drain | Unregister


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to one model; its actions run in order, alone."""

    name: str
    sign: Sign
    before: str | None
    """The version that answers now."""

    after: str | None
    """The version that will answer."""

    actions: tuple[Action, ...]
    reason: str = ""

    def to_mapping(self) -> dict[str, Any]:
        """Give what a reviewer decides on."""
        return {
            "name": self.name,
            "sign": self.sign.value,
            "before": self.before,
            "after": self.after,
            "reason": self.reason,
            "actions": [
                {"do": type(action).__name__, **_plain(asdict(action))}
                for action in self.actions
            ],
        }


@dataclass(frozen=True)
class Plan:
    """All changes of one host, by name; the models that stay as they are included."""

    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return any(change.actions for change in self.changes)

    @property
    def digest(self) -> str:
        """Name exactly this plan, so that a reviewed plan can be asked for."""
        return sha256_of(self.to_mapping())[:12]

    def to_mapping(self) -> list[dict[str, Any]]:
        """Give the plan as JSON values."""
        return [change.to_mapping() for change in self.changes]

    def pending(self) -> list[Change]:
        """Give the changes that do something."""
        return [change for change in self.changes if change.actions]


def plan(
    desired: Desired, observed: HostState, *, missing_bytes: Callable[[Release], int]
) -> Plan:
    """Compare the two states of a host.

    A new version comes up, and has answered, before the old one goes down. Models
    on the server that this tool did not put there are left alone.

    Args:
        desired: the release that each model should answer with.
        observed: what the host serves and has installed.
        missing_bytes: how much of a release the host would have to fetch.
    """
    names = desired.keys() | observed.managed()
    return Plan(
        tuple(
            _upgrade(desired[name], observed, missing_bytes)
            if name in desired
            else _removal(name, observed)
            for name in sorted(names)
        )
    )


def _upgrade(
    release: Release, observed: HostState, missing_bytes: Callable[[Release], int]
) -> Change:
    ref = release.ref
    served = observed.served.get(ref.name, ())
    default = next((one.version for one in served if one.is_default), None)
    reason = _why_anew(release, observed)
    actions = tuple(_steps(release, observed, missing_bytes, anew=bool(reason)))
    if not actions:
        sign = Sign.KEEP
    elif not served:
        sign = Sign.ADD
    elif default == str(ref.version):
        sign = Sign.REPAIR
    else:
        sign = Sign.CHANGE
    return Change(
        name=ref.name,
        sign=sign,
        before=default,
        after=str(ref.version),
        actions=actions,
        reason=reason,
    )


def _why_anew(release: Release, observed: HostState) -> str:
    """Say why the registered version must go before it can come, or nothing."""
    served = observed.find(release.ref)
    if served is None:
        return ""
    if served.location != release.ref.entry:
        return f"it was registered from {served.location!r}, not by this tool"
    installed = observed.installed.get(release.ref)
    if installed is None:
        return "its files are gone from the model store"
    if installed.sha256 != release.archive.sha256:
        return (
            f"archive {installed.sha256[:12]} is installed, "
            f"{release.archive.sha256[:12]} is released"
        )
    return ""


def _steps(
    release: Release,
    observed: HostState,
    missing_bytes: Callable[[Release], int],
    *,
    anew: bool,
) -> Iterator[Action]:
    ref, sha256 = release.ref, release.archive.sha256
    installed = observed.installed.get(ref)
    served = observed.find(ref)
    others = [one for one in observed.served.get(ref.name, ()) if one is not served]
    if anew:
        # TorchServe refuses (403) to unregister a default while there are others.
        if served and served.is_default:
            yield from _stand_in(ref.name, others)
        yield Unregister(ref.name, str(ref.version))
        served = None
    if installed is None or installed.sha256 != sha256:
        yield Install(ref, sha256, missing_bytes(release))
        installed = None
    if served is None:
        yield Register(ref)
    elif not served.is_ready:
        yield Revive(ref)
    if installed is None or not installed.answered or not (served and served.is_ready):
        yield Probe(ref)
    if others and not (served and served.is_default):
        yield SetDefault(ref)
    yield from _farewell(ref.name, others)


def _stand_in(name: str, others: list[ServedVersion]) -> Iterator[Action]:
    """Let another version answer while the wanted one is replaced, if there is one."""
    for one in sorted(others, key=lambda one: one.is_ready)[-1:]:
        # Known to TorchServe by its text, which need not be a version of ours.
        yield SetDefault(Ref(name, Version((0, 0, 0), one.version)))


def _removal(name: str, observed: HostState) -> Change:
    served = observed.served[name]
    # TorchServe refuses (403) to unregister a default while there are others.
    last = sorted(served, key=lambda one: one.is_default)
    return Change(
        name=name,
        sign=Sign.REMOVE,
        before=next((one.version for one in served if one.is_default), None),
        after=None,
        actions=tuple(_farewell(name, last)),
        reason="the host profile does not ask for it",
    )


def _farewell(name: str, versions: list[ServedVersion]) -> Iterator[Action]:
    for one in versions:
        yield Drain(name, one.version)
        yield Unregister(name, one.version)


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Replace a nested reference by its text."""
    if "ref" not in fields:
        return fields
    ref = fields.pop("ref")
    return {"ref": f"{ref['name']}@{ref['version']['text']}", **fields}
