"""Record golden cases: ask a served model, and keep the answers that hold."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from model_servers.core.golden import GoldenCase, compare, decoded
from model_servers.core.names import Ref
from model_servers.ports import ModelServer


class State(Enum):
    """What asking a case again came to."""

    NEW = "new"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    UNSTEADY = "unsteady"
    """The model answers one request in two ways, so neither is an answer."""

    FAILED = "failed"
    """There is no answer that a case could hold."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one case did."""

    case: str
    state: State
    detail: str = ""
    """The first difference, or the reason."""

    answer: Any = None
    """As JSON values; of the states that have one."""

    @property
    def is_recordable(self) -> bool:
        """The case should get this answer."""
        return self.state in (State.NEW, State.CHANGED)

    @property
    def is_refused(self) -> bool:
        """No answer can be recorded for the case."""
        return self.state in (State.UNSTEADY, State.FAILED)


def ask_again(
    server: ModelServer, ref: Ref, case: GoldenCase, *, device: str
) -> Outcome:
    """Ask a case, twice where its answer would be recorded.

    Whoever gets two answers to one request has recorded chance, so the second must
    be within the case's tolerance of the first.
    """
    try:
        body, answer = _answer(server, ref, case)
        compared = case.compare(body, device=device)
        if case.is_recorded and not compared.differences:
            return Outcome(case=case.name, state=State.UNCHANGED)
        _, again = _answer(server, ref, case)
    except ValueError as error:
        return Outcome(case=case.name, state=State.FAILED, detail=str(error))
    unsteady = compare(answer, again, case.tolerance_on(device)).differences
    if unsteady:
        return Outcome(
            case=case.name,
            state=State.UNSTEADY,
            detail=f"asked twice, {unsteady[0].replace('expected', 'at first')}",
        )
    return Outcome(
        case=case.name,
        state=State.CHANGED if case.is_recorded else State.NEW,
        detail=compared.differences[0] if case.is_recorded else "",
        answer=answer,
    )


def _answer(server: ModelServer, ref: Ref, case: GoldenCase) -> tuple[bytes, Any]:
    """Give an answer as it came and as JSON values; ValueError if there is none."""
    status, body = server.predict(ref, case.request)
    if status != 200:
        raise ValueError(
            f"the status is {status}: {body.decode(errors='replace')[:300]}"
        )
    return body, decoded(body)
