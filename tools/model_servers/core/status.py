"""How a host is: as the profile asks, and able to answer; two different things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model_servers.core.changes import Plan, Sign
from model_servers.core.host import HostState, ServedVersion
from model_servers.core.memory import Memory


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """One model that should be served."""

    name: str
    wanted: str | None
    """The version that should answer; None if nobody can say."""

    serves: str | None
    """The version that answers, if one is registered."""

    why_not_in_sync: str = ""
    why_not_healthy: str = ""
    pinned: str = ""
    held_back: Mapping[str, str] = field(default_factory=dict)
    """By version: why it is not served beside the default."""

    def to_mapping(self) -> dict[str, Any]:
        """Give JSON values."""
        return {
            "name": self.name,
            "wanted": self.wanted,
            "serves": self.serves,
            "in_sync": not self.why_not_in_sync,
            "why_not_in_sync": self.why_not_in_sync,
            "healthy": not self.why_not_healthy,
            "why_not_healthy": self.why_not_healthy,
            "pinned": self.pinned,
            "held_back": dict(self.held_back),
        }


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """All models that should be served, by name."""

    models: tuple[ModelStatus, ...]
    store_error: str = ""
    """Why nobody knows what the profile's channels mean; the host's memory then says
    what should be served."""

    @property
    def is_in_sync(self) -> bool:
        """Whether every model is as the profile asks, as far as that is known."""
        return not self.store_error and not any(
            one.why_not_in_sync for one in self.models
        )

    @property
    def is_healthy(self) -> bool:
        """Whether there is a model, and all of them answer."""
        return bool(self.models) and not any(one.why_not_healthy for one in self.models)


def status_of(
    plan: Plan, observed: HostState, memory: Memory, wrong: Mapping[str, str]
) -> HostStatus:
    """Say how a host is.

    Args:
        plan: to what the profile asks.
        observed: the host.
        memory: of the host.
        wrong: by model, why its golden requests were not answered; those that were
            not asked are not in it.
    """
    return HostStatus(
        models=tuple(
            ModelStatus(
                name=change.name,
                wanted=None if change.sign is Sign.REFUSE else change.after,
                serves=change.before,
                why_not_in_sync=_why_not_in_sync(
                    change.sign, change.reason, change.before, change.after
                ),
                why_not_healthy=_why_not_healthy(
                    _default(observed, change.name), wrong.get(change.name, "")
                ),
                pinned=str(memory.pins.get(change.name, "")),
                held_back=_held_back(change.name, memory),
            )
            for change in plan.changes
            if change.sign is not Sign.REMOVE
        )
    )


def status_without_store(
    error: str, observed: HostState, memory: Memory, wrong: Mapping[str, str]
) -> HostStatus:
    """Say how a host is when nobody knows what the profile means now."""
    models = []
    for name, versions in sorted(memory.served.items()):
        default = _default(observed, name)
        serves = default.version if default else None
        models.append(
            ModelStatus(
                name=name,
                wanted=versions[0],
                serves=serves,
                why_not_in_sync=""
                if serves == versions[0]
                else f"it served {versions[0]} after the last sync",
                why_not_healthy=_why_not_healthy(default, wrong.get(name, "")),
                pinned=str(memory.pins.get(name, "")),
                held_back=_held_back(name, memory),
            )
        )
    return HostStatus(models=tuple(models), store_error=error)


def _why_not_in_sync(
    sign: Sign, reason: str, before: str | None, after: str | None
) -> str:
    if sign is Sign.KEEP:
        return ""
    if sign is Sign.REFUSE:
        return f"refused: {reason}"
    if before != after:
        return f"{before or 'nothing'} -> {after}"
    return reason or "`ms sync plan` shows what is to be done"


def _why_not_healthy(default: ServedVersion | None, wrong: str) -> str:
    if default is None:
        return "it is not registered"
    if not default.is_ready:
        return f"{default.workers_ready} of {default.workers} workers are ready"
    return wrong


def _held_back(name: str, memory: Memory) -> dict[str, str]:
    return {str(pin.bad): str(pin) for pin in memory.held_back.get(name, ())}


def _default(observed: HostState, name: str) -> ServedVersion | None:
    served = observed.served.get(name, ())
    return next((one for one in served if one.is_default), None)
