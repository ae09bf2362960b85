"""Asking golden cases again: which answers can be recorded, and which cannot."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.model_store import write_entry
from fakes.server import FakeServer
from model_servers.core.golden import GoldenCase, Request, Tolerance
from model_servers.core.names import Ref
from model_servers.journeys.golden import Outcome, State, ask_again

TINY = Ref.parse("tiny@1.0")


@pytest.fixture
def server(tmp_path: Path) -> FakeServer:
    write_entry(tmp_path, TINY)
    return FakeServer(tmp_path)


def asked(server: FakeServer, answers: Callable[[Request], Any], **case: Any) -> Any:
    server.script("tiny-1.0", answer=answers)
    server.register(TINY)
    asked = GoldenCase(
        name="one",
        request=Request(content_type="application/json", body=b"[1]"),
        expected=case.get("expected"),
        is_recorded="expected" in case,
        tolerance={"cpu": Tolerance(absolute=0.1)},
    )
    return ask_again(server, TINY, asked, device="cpu")


def test_a_case_without_an_answer_gets_the_first(server: FakeServer) -> None:
    outcome = asked(server, lambda _: (200, b"[1.5]"))

    assert outcome == Outcome(case="one", state=State.NEW, answer=[1.5])
    assert outcome.is_recordable
    assert len(server.asked) == 2


def test_an_answer_within_tolerance_stays_as_it_is_recorded(
    server: FakeServer,
) -> None:
    outcome = asked(server, lambda _: (200, b"[1.55]"), expected=[1.5])

    assert outcome == Outcome(case="one", state=State.UNCHANGED)
    assert not outcome.is_recordable


def test_another_answer_is_told_with_the_first_difference(server: FakeServer) -> None:
    outcome = asked(server, lambda _: (200, b"[2.5]"), expected=[1.5])

    assert outcome == Outcome(
        case="one",
        state=State.CHANGED,
        detail="answer[0] is 2.5, expected 1.5",
        answer=[2.5],
    )


def test_an_answer_by_chance_is_not_recorded(server: FakeServer) -> None:
    numbers = itertools.count()

    outcome = asked(server, lambda _: (200, b"[%d.5]" % next(numbers)))

    assert outcome.state is State.UNSTEADY
    assert outcome.detail == "asked twice, answer[0] is 1.5, at first 0.5"
    assert outcome.is_refused


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        pytest.param((500, b"no luck"), "the status is 500: no luck", id="a failure"),
        pytest.param((200, b"<b>"), "the answer is not JSON: <b>", id="no JSON"),
    ],
)
def test_what_is_no_answer_is_not_recorded(
    server: FakeServer, answer: tuple[int, bytes], detail: str
) -> None:
    outcome = asked(server, lambda _: answer)

    assert outcome == Outcome(case="one", state=State.FAILED, detail=detail)
    assert outcome.is_refused
