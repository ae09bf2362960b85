"""What happens to a host: actions, the changes they make up, and plans of changes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from model_servers.core.canonical import sha256_of
from model_servers.core.names import Ref
from model_servers.core.overlay import Overlay


class Sign(Enum):
    """How a model changes, as plans show it."""

    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    REPAIR = "!"
    KEEP = "="
    REFUSE = "x"
    """It stays as it is, although something else was asked for."""


@dataclass(frozen=True)
class Install:
    """Bring a release onto the disk: fetched, verified, unpacked, requirements."""

    ref: Ref
    sha256: str
    fetch_bytes: int
    """What has to come from the store; members that are on the host do not."""

    full_bytes: int = 0
    """Of the whole release."""

    overlay: Overlay = field(default_factory=dict)
    """What this host changes in its model config."""

    runs_pip: bool = False
    """Nothing on this host has its requirements yet, and pip takes its time."""

    archive: str = ""
    """What TorchServe registers, where that is no directory."""


@dataclass(frozen=True)
class Register:
    """Register a version and wait until all its workers are ready."""

    ref: Ref


@dataclass(frozen=True)
class Revive:
    """Start the workers of a registered version anew."""

    ref: Ref


@dataclass(frozen=True)
class Scale:
    """Give a version that serves another number of workers."""

    ref: Ref
    workers: int


@dataclass(frozen=True)
class Probe:
    """Have a version answer its golden requests."""

    ref: Ref


@dataclass(frozen=True)
class SetDefault:
    """Let a version answer requests that name no version."""

    ref: Ref


@dataclass(frozen=True)
class Soak:
    """Watch a new default; it goes back to the one before if requests fail."""

    ref: Ref
    seconds: float


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


Action = (
    Install | Register | Revive | Scale | Probe | SetDefault | Soak | Drain | Unregister
)


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
    """Why it is not simply kept, or why it is refused."""

    hint: str = ""
    """What to do about a refusal."""

    also: tuple[str, ...] = ()
    """The versions that will be served beside it."""

    why: str = ""
    """Where the version comes from: a channel, a pin."""

    downtime: str = ""
    """Why nobody answers for a while, if so."""

    @property
    def installs(self) -> list[Install]:
        """Give what is brought onto the disk."""
        return [action for action in self.actions if isinstance(action, Install)]

    def to_mapping(self) -> dict[str, Any]:
        """Give what a reviewer decides on."""
        return {
            "name": self.name,
            "sign": self.sign.value,
            "before": self.before,
            "after": self.after,
            "also": list(self.also),
            "why": self.why,
            "reason": self.reason,
            "hint": self.hint,
            "downtime": self.downtime,
            "fetch_bytes": sum(one.fetch_bytes for one in self.installs),
            "full_bytes": sum(one.full_bytes for one in self.installs),
            "actions": [action_mapping(action) for action in self.actions],
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

    def refused(self) -> list[Change]:
        """Give the models that stay as they are although they should not."""
        return [change for change in self.changes if change.sign is Sign.REFUSE]


def action_mapping(action: Action) -> dict[str, Any]:
    """Give one action as JSON values."""
    return {"do": type(action).__name__, **_plain(asdict(action))}


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Replace a nested reference by its text."""
    if "ref" not in fields:
        return fields
    ref = fields.pop("ref")
    return {"ref": f"{ref['name']}@{ref['version']['text']}", **fields}
