"""Examining a served model: what is asked, how often, and what it comes to."""

from __future__ import annotations

import itertools
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.model_store import write_entry
from fakes.server import FakeServer
from model_servers.core.examination import Examination
from model_servers.core.golden import GoldenCase, Request, Tolerance
from model_servers.core.names import Ref
from model_servers.interruption import interrupt
from model_servers.journeys.examine import Examine

TINY = Ref.parse("tiny@1.0")
ALONE, TOGETHER, MEASURED = 2, 8, 20
LIMIT_S = 30


def case(name: str, number: float) -> GoldenCase:
    return GoldenCase(
        name=name,
        request=Request(content_type="application/json", body=b"%g" % number),
        expected=number,
        tolerance={"cpu": Tolerance(absolute=0.1), "gpu": Tolerance(absolute=0.5)},
    )


CASES = (case("one", 1.5), case("two", 2.5))


@pytest.fixture
def server(tmp_path: Path) -> FakeServer:
    write_entry(tmp_path, TINY)
    server = FakeServer(tmp_path)
    server.register(TINY)
    return server


def examined(server: FakeServer, *cases: GoldenCase) -> Examination:
    examine = Examine(server=server, memory_mib=lambda pids: 100 * len(pids))
    (served,) = server.describe("tiny")
    return examine.run(TINY, cases or CASES, served, 1.25)


@pytest.fixture
def _listening() -> Iterator[None]:
    """Hear Ctrl-C as the program does."""
    before = signal.signal(signal.SIGINT, lambda *_: interrupt())
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_listening")
def test_ctrl_c_while_cases_are_asked_together_leaves_none_waiting_for_the_others(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, begun = threading.Thread.start, []

    def start_and_interrupt(thread: threading.Thread) -> None:
        start(thread)
        begun.append(thread)
        if len(begun) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(threading.Thread, "start", start_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        examined(server)

    assert len(begun) == TOGETHER
    for thread in begun:
        thread.join(LIMIT_S)
    assert not any(thread.is_alive() for thread in begun)


@pytest.mark.usefixtures("_listening")
def test_ctrl_c_does_not_wait_for_answers(server: FakeServer) -> None:
    asked, goes_on, main = itertools.count(), threading.Event(), threading.get_ident()
    waited = []

    def answer(request: Request) -> tuple[int, bytes]:
        number = next(asked)
        if number == ALONE + TOGETHER - 1:
            signal.pthread_kill(main, signal.SIGINT)
        if number >= ALONE:
            waited.append(goes_on.wait(LIMIT_S))
        return 200, request.body

    server.script("tiny-1.0", answer=answer)
    server.scale("tiny", "1.0", 1)
    with pytest.raises(KeyboardInterrupt):
        examined(server)

    assert waited == []
    goes_on.set()


def test_every_case_is_asked_alone_and_together_and_for_the_time(
    server: FakeServer,
) -> None:
    found = examined(server)

    assert len(server.asked) == ALONE + TOGETHER + MEASURED
    assert {ref for ref, _ in server.asked} == {"tiny@1.0"}
    assert (found.runs, found.reproduces, found.wrong()) == (True, True, [])
    assert [one.case for one in found.cases] == ["one", "two"]
    assert [len(one.together) for one in found.cases] == [4, 4]
    assert found.measured.load_s == 1.25
    assert len(found.measured.latencies_ms) == MEASURED
    assert found.measured.memory_mib == 100


def test_more_cases_than_usual_are_all_asked_together(server: FakeServer) -> None:
    cases = [case(f"number_{number}", number + 0.5) for number in range(11)]

    found = examined(server, *cases)

    assert [len(one.together) for one in found.cases] == [1] * 11


def test_requests_together_are_in_work_at_one_moment(server: FakeServer) -> None:
    asked = itertools.count()
    together = threading.Barrier(TOGETHER, timeout=30)

    def answer(request: Request) -> tuple[int, bytes]:
        if ALONE <= next(asked) < ALONE + TOGETHER:
            together.wait()  # raises if fewer come
        return 200, request.body

    server.script("tiny-1.0", answer=answer)
    server.scale("tiny", "1.0", 1)

    assert examined(server).reproduces


def test_answers_that_are_exchanged_in_a_batch_are_found(server: FakeServer) -> None:
    asked = itertools.count()

    def answer(request: Request) -> tuple[int, bytes]:
        is_alone = next(asked) < ALONE
        return 200, request.body if is_alone else json.dumps(9.5).encode()

    server.script("tiny-1.0", answer=answer)
    server.scale("tiny", "1.0", 1)

    found = examined(server)

    assert (found.runs, found.reproduces) == (True, False)
    first = found.cases[0]
    assert first.only_together
    assert first.differences == ("answer is 9.5, expected 1.5",)
    assert first.max_absolute_error == 8.0
    assert first.max_relative_error == 8.0 / 1.5


@pytest.mark.parametrize(
    ("answer", "runs", "difference"),
    [
        pytest.param(
            (200, b"1.625"), True, "answer is 1.625, expected 1.5", id="another number"
        ),
        pytest.param(
            (200, b"<html>"), False, "the answer is not JSON: <html>", id="no JSON"
        ),
        pytest.param(
            (500, b"no luck"), False, "the status is 500: no luck", id="a failure"
        ),
    ],
)
def test_running_is_one_verdict_and_reproducing_another(
    server: FakeServer, answer: tuple[int, bytes], difference: str, *, runs: bool
) -> None:
    server.script("tiny-1.0", answer=lambda _: answer)
    server.scale("tiny", "1.0", 1)

    found = examined(server, CASES[0])

    assert (found.runs, found.reproduces) == (runs, False)
    assert found.cases[0].differences == (difference,)
    assert not found.cases[0].only_together


@pytest.mark.parametrize(("device", "reproduces"), [("cpu", False), ("gpu", True)])
def test_each_device_has_its_own_tolerance(
    server: FakeServer, device: str, *, reproduces: bool
) -> None:
    server.script("tiny-1.0", answer=lambda _: (200, b"1.75"), device=device)
    server.scale("tiny", "1.0", 1)

    found = examined(server, CASES[0])

    assert found.device == device
    assert found.cases[0].tolerance == CASES[0].tolerance[device]
    assert found.reproduces is reproduces
    assert found.cases[0].max_absolute_error == 0.25
