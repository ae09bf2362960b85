"""A new default is watched, and goes back by itself if it does worse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.host import Clock, CrashError, Host, Recorder
from model_servers.core.changes import Soak
from model_servers.core.golden import Request
from model_servers.core.guards import Override
from model_servers.core.names import Ref
from model_servers.core.profile import Policy
from model_servers.core.soak import Counts
from model_servers.errors import OutsideError
from model_servers.journeys.host.acting import SoakError

UPGRADE = {"cat": "1.10.0"}


@pytest.fixture
def soaking(tmp_path: Path, clock: Clock) -> Host:
    """A host that watches a new default for a minute; it serves cat@1.0.0."""
    host = Host(tmp_path, clock, policy=Policy(soak_s=60.0))
    for version in ("1.0.0", "1.10.0"):
        host.publish(Ref.parse(f"cat@{version}"))
    host.apply({"cat": "1.0.0"})
    return host


def _after(count: int) -> Callable[[Request], tuple[int, bytes]]:
    """Answer rightly for so many requests, and wrongly from then on."""
    asked: list[Request] = []

    def answer(request: Request) -> tuple[int, bytes]:
        asked.append(request)
        return (200, request.body) if len(asked) <= count else (503, b"no")

    return answer


def _fails(host: Host) -> str:
    recorder = Recorder()
    with pytest.raises(OutsideError, match="1 of 1 models failed: cat"):
        host.apply(UPGRADE, recorder)
    error = recorder.failures["cat"]
    assert isinstance(error, SoakError)
    return str(error)


def test_a_good_version_soaks_for_as_long_as_the_policy_says(soaking: Host) -> None:
    before_s = soaking.clock.now_s

    recorder = soaking.apply(UPGRADE)

    assert Soak(Ref.parse("cat@1.10.0"), 60.0) in recorder.done_
    assert soaking.clock.now_s - before_s >= 60
    assert soaking.state()["cat"] == ("1.10.0", ["1.10.0"])


def test_golden_requests_that_fail_during_the_soak_take_it_back(soaking: Host) -> None:
    soaking.server.script("cat-1.10.0", answer=_after(4))

    message = _fails(soaking)

    assert message == (
        "cat@1.10.0 did worse after the switch: cat@1.10.0 answered 1 of 1 golden "
        "cases wrongly; case: the status is 503: no; 1.0.0 answers again, and is pinned"
    )
    assert soaking.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_workers_that_die_during_the_soak_take_it_back(soaking: Host) -> None:
    soaking.server.after_call = lambda method: (
        soaking.server.script("cat-1.10.0", crashes=True)
        if method == "set_default"
        else None
    )
    soaking.server.before_call = lambda method: (
        soaking.server.kill_workers("cat", "1.10.0")
        if method == "describe" and soaking.server.default("cat") == "1.10.0"
        else None
    )

    assert "its workers ended" in _fails(soaking)
    soaking.server.before_call = lambda method: None
    assert soaking.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_errors_of_its_users_during_the_soak_take_it_back(soaking: Host) -> None:
    soaking.counts += [
        Counts(requests=1000, errors=1),
        Counts(requests=1100, errors=2),
        Counts(requests=1200, errors=21),
    ]

    assert "20 of 200 requests failed since; 0.1% did before" in _fails(soaking)
    assert soaking.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_what_was_taken_back_is_not_tried_again_by_the_next_sync(
    soaking: Host,
) -> None:
    soaking.server.script("cat-1.10.0", answer=_after(2))
    _fails(soaking)
    soaking.server.calls.clear()

    soaking.apply(UPGRADE)

    assert soaking.server.calls == []
    pin = soaking.memory.read().pins["cat"]
    assert (pin.who, str(pin.version), str(pin.bad)) == ("ms", "1.0.0", "1.10.0")
    assert [one.what for one in soaking.memory.events()] == ["changed", "rolled back"]


def test_a_soak_that_was_interrupted_is_begun_again(soaking: Host) -> None:
    recorder = Recorder()
    recorder.crash_at = 9  # at the beginning of the soak
    with pytest.raises(CrashError):
        soaking.apply(UPGRADE, recorder)
    assert soaking.state()["cat"] == ("1.10.0", ["1.0.0", "1.10.0"])
    soaking.server.script("cat-1.10.0", answer=_after(0))

    plan, _ = soaking.plan(UPGRADE)

    assert isinstance(plan.changes[0].actions[0], Soak)


def test_a_version_that_had_to_make_room_comes_back_if_its_successor_is_broken(
    host: Host,
) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.script("cat-1.10.0", crashes=True, load_error="no memory")

    with pytest.raises(OutsideError, match="1 of 1 models failed: cat"):
        host.apply(
            {"cat": {"default": "1.10.0", "update": "resource"}},
            None,
            Override.DOWNTIME,
        )

    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])
    assert host.server.calls == [
        ("register", "cat@1.0.0"),
        ("unregister", "cat", "1.0.0"),
        ("register", "cat@1.10.0"),
        ("unregister", "cat", "1.10.0"),
        ("register", "cat@1.0.0"),
    ]


def test_the_last_failure_of_the_model_is_remembered(soaking: Host) -> None:
    soaking.server.script("cat-1.10.0", answer=_after(4))

    message = _fails(soaking)

    memory = soaking.memory.read()
    assert (memory.failures["cat"].version, memory.failures["cat"].why) == (
        "1.10.0",
        message,
    )
    assert memory.is_held_back("cat", "1.10.0")
    assert [one.what for one in soaking.memory.events()] == ["changed", "rolled back"]


def test_with_no_version_to_go_back_to_the_next_command_is_told(soaking: Host) -> None:
    answer = _after(4)

    def answer_alone(request: Request) -> tuple[int, bytes]:
        status, body = answer(request)
        if status != 200:
            soaking.server.kill_workers("cat", "1.0.0")
        return status, body

    soaking.server.script("cat-1.10.0", answer=answer_alone)
    before = len(soaking.memory.events())

    message = _fails(soaking)

    failure = soaking.memory.read().failures["cat"]
    assert soaking.server.default("cat") == "1.10.0"
    assert failure.hint == "`ms sync rollback cat` loads the version before"
    assert [(one.what, one.why) for one in soaking.memory.events()[before:]] == [
        ("failed", message)
    ]
