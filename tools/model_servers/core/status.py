"""How a host is: as the profile asks, and able to answer; two different things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from model_servers.core.changes import Plan, Sign
from model_servers.core.guards import Objection, objections
from model_servers.core.host import HostState, ServedVersion
from model_servers.core.memory import Failure, Memory
from model_servers.core.profile import Policy


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """One model that should be served."""

    name: str
    wanted: str | None
    """The version that should answer; None if nobody can say."""

    serves: str | None
    """The version that answers, if one is registered."""

    why_not_in_sync: str = ""
    hint: str = ""
    """What to do about a refusal."""

    why_not_healthy: str = ""
    pinned: str = ""
    held_back: Mapping[str, str] = field(default_factory=dict)
    """By version: why it is not served beside the default."""

    last_failure: Failure | None = None
    """Why its last change failed; None if that did not fail."""

    is_tried_again: bool = True
    """Whether the next sync tries again what failed last; else it is held back."""

    def remembered(self, memory: Memory) -> ModelStatus:
        """Give it with what the host remembers of the model."""
        failure = memory.failures.get(self.name)
        pins = memory.held_back.get(self.name, ())
        return replace(
            self,
            pinned=str(memory.pins.get(self.name, "")),
            held_back={str(pin.bad): str(pin) for pin in pins},
            last_failure=failure,
            is_tried_again=failure is None
            or not memory.is_held_back(self.name, failure.version),
        )

    def to_mapping(self) -> dict[str, Any]:
        """Give JSON values."""
        return {
            "name": self.name,
            "wanted": self.wanted,
            "serves": self.serves,
            "in_sync": not self.why_not_in_sync,
            "why_not_in_sync": self.why_not_in_sync,
            "hint": self.hint,
            "healthy": not self.why_not_healthy,
            "why_not_healthy": self.why_not_healthy,
            "pinned": self.pinned,
            "held_back": dict(self.held_back),
            "last_failure": self._last_failure(),
        }

    def _last_failure(self) -> dict[str, Any] | None:
        if self.last_failure is None:
            return None
        failure = self.last_failure.to_mapping()
        return {**failure, "is_tried_again": self.is_tried_again}


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """All models that should be served, and those that should go, by name."""

    models: tuple[ModelStatus, ...]
    unwanted: tuple[ModelStatus, ...] = ()
    """Those that are served, and that the profile does not ask for."""

    objections: tuple[Objection, ...] = ()
    """Why a sync is refused as a whole."""

    store_error: str = ""
    """Why nobody knows what the profile's channels mean; the host's memory then says
    what should be served."""

    @property
    def is_in_sync(self) -> bool:
        """Whether every model is as the profile asks, as far as that is known."""
        return not self.store_error and not any(
            one.why_not_in_sync for one in (*self.models, *self.unwanted)
        )

    @property
    def is_healthy(self) -> bool:
        """Whether there is a model, and all of them answer."""
        return bool(self.models) and not any(one.why_not_healthy for one in self.models)


def status_of(
    plan: Plan,
    observed: HostState,
    memory: Memory,
    wrong: Mapping[str, str],
    *,
    policy: Policy,
) -> HostStatus:
    """Say how a host is.

    Args:
        plan: to what the profile asks.
        observed: the host.
        memory: of the host.
        wrong: by model, why its golden requests were not answered; those that were
            not asked are not in it.
        policy: of the profile.
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
                hint=change.hint,
                why_not_healthy=_why_not_healthy(
                    _default(observed, change.name), wrong.get(change.name, "")
                ),
            ).remembered(memory)
            for change in plan.changes
            if change.sign is not Sign.REMOVE
        ),
        unwanted=tuple(
            ModelStatus(
                name=change.name,
                wanted=None,
                serves=change.before,
                why_not_in_sync=change.reason,
            ).remembered(memory)
            for change in plan.changes
            if change.sign is Sign.REMOVE
        ),
        objections=tuple(objections(plan, observed, policy)),
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
            ).remembered(memory)
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


def _default(observed: HostState, name: str) -> ServedVersion | None:
    served = observed.served.get(name, ())
    return next((one for one in served if one.is_default), None)
