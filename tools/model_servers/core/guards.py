"""Plans that a mistake asks for more often than a person does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from model_servers.core.changes import Plan, Sign
from model_servers.core.spelling import nearest

if TYPE_CHECKING:
    from model_servers.core.host import HostState
    from model_servers.core.profile import Policy


class Override(Enum):
    """What says that something unlikely is meant."""

    EMPTY = "--allow-empty"
    LARGE_CHANGE = "--allow-large-change"
    DOWNTIME = "--allow-downtime"
    OLDER_CHANNELS = "--allow-older-channels"


@dataclass(frozen=True, kw_only=True)
class Objection:
    """Why a plan must not run unless somebody says so."""

    reason: str
    override: Override
    """What says so."""

    @property
    def hint(self) -> str:
        """Say how to agree."""
        return f"add {self.override.value} if that is meant"


def objections(plan: Plan, observed: HostState, policy: Policy) -> Iterator[Objection]:
    """Yield what speaks against a plan as a whole."""
    yield from _too_much(plan, observed, policy)
    yield from _misspelt(plan)


def _too_much(plan: Plan, observed: HostState, policy: Policy) -> Iterator[Objection]:
    """Object to more removals and changes than the policy allows."""
    managed = observed.managed()
    served = len(managed)
    gone = [one.name for one in plan.changes if one.sign is Sign.REMOVE]
    changed = [
        one.name
        for one in plan.changes
        if one.sign is Sign.CHANGE and one.name in managed
    ]
    if served and len(gone) == len(plan.changes):
        yield Objection(
            reason=f"the host profile asks for no model; {len(gone)} would go: "
            + ", ".join(gone),
            override=Override.EMPTY,
        )
    elif len(gone) > policy.max_removed_share * served:
        yield Objection(
            reason=f"{len(gone)} of {served} models would go ({', '.join(gone)}); "
            f"the policy allows a share of {policy.max_removed_share:g}",
            override=Override.LARGE_CHANGE,
        )
    elif len(gone) + len(changed) > policy.max_changed_share * served:
        yield Objection(
            reason=f"{len(gone) + len(changed)} of {served} models would change "
            f"({', '.join(sorted([*gone, *changed]))}); "
            f"the policy allows a share of {policy.max_changed_share:g}",
            override=Override.LARGE_CHANGE,
        )


def _misspelt(plan: Plan) -> Iterator[Objection]:
    """Object to losing a model because its name is written in another way now."""
    gone = [one.name for one in plan.changes if one.sign is Sign.REMOVE]
    for one in plan.changes:
        is_nowhere = one.sign is Sign.REFUSE and one.before is None
        near = nearest(one.name, gone) if is_nowhere else None
        if near is not None:
            yield Objection(
                reason=f"{near} would go, and the host profile asks for {one.name}, "
                f"which cannot be had: {one.reason}",
                override=Override.LARGE_CHANGE,
            )
