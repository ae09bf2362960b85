"""Syncs that were interrupted at any place: a new run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.host import Clock, CrashError, Host, Recorder
from journeys.host.failing import failure
from model_servers.core.names import Ref
from model_servers.core.plan import Probe

CAT_1, CAT_2 = Ref.parse("cat@1.0.0"), Ref.parse("cat@1.10.0")


DOG = Ref.parse("dog@1.0.0")


UPGRADE = {"cat": "1.10.0", "dog": "1.0.0"}
"""An upgrade of cat, and dog as new."""


REACHED = {"cat": ("1.10.0", ["1.10.0"]), "dog": ("1.0.0", ["1.0.0"])}


def _upgrading(folder: Path, clock: Clock) -> Host:
    host = Host(folder, clock)
    host.publish(CAT_1, config={"minWorkers": 2, "maxWorkers": 2})
    host.publish(CAT_2, config={"minWorkers": 2, "maxWorkers": 2})
    host.publish(DOG)
    host.apply({"cat": "1.0.0"})
    return host


def test_crashed_at_any_boundary_the_old_version_answers_and_a_new_run_goes_on(
    tmp_path: Path, clock: Clock
) -> None:
    whole = _upgrading(tmp_path / "whole", clock).apply(UPGRADE)
    assert len(whole.started) == 9
    assert whole.boundaries == 18

    for boundary in range(1, whole.boundaries + 1):
        host = _upgrading(tmp_path / str(boundary), clock)
        recorder = Recorder()
        recorder.crash_at = boundary

        with pytest.raises(CrashError):
            host.apply(UPGRADE, recorder)

        proved = Probe(CAT_2) in recorder.done_
        assert host.server.default("cat") in {"1.0.0", "1.10.0" if proved else None}
        host.apply(UPGRADE)
        assert host.state() == REACHED
        assert not host.plan(UPGRADE)[0]


@pytest.mark.parametrize("moment", ["before_call", "after_call"])
def test_crashed_at_any_request_to_the_server_a_new_run_goes_on(
    tmp_path: Path, clock: Clock, moment: str
) -> None:
    def crash_at(host: Host, number: int) -> list[str]:
        requests: list[str] = []

        def count(method: str) -> None:
            requests.append(method)
            if len(requests) == number:
                raise CrashError

        setattr(host.server, moment, count)
        return requests

    host = _upgrading(tmp_path / "whole", clock)
    requests = crash_at(host, -1)
    host.apply(UPGRADE)
    assert len(requests) >= 3

    for number in range(1, len(requests) + 1):
        host = _upgrading(tmp_path / str(number), clock)
        crash_at(host, number)

        with pytest.raises(CrashError):
            host.apply(UPGRADE)

        setattr(host.server, moment, lambda method: None)
        host.apply(UPGRADE)
        assert host.state() == REACHED
        assert not host.plan(UPGRADE)[0]


@pytest.mark.parametrize("moment", ["before_call", "after_call"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_revival_that_was_interrupted_comes_back_with_all_workers(
    tmp_path: Path, clock: Clock, moment: str, number: int
) -> None:
    host = _upgrading(tmp_path / "host", clock)
    host.server.kill_workers("cat", "1.0.0")
    scaled: list[str] = []

    def crash(method: str) -> None:
        if method == "scale":
            scaled.append(method)
            if len(scaled) == number:
                raise CrashError

    setattr(host.server, moment, crash)
    with pytest.raises(CrashError):
        host.apply({"cat": "1.0.0"})
    setattr(host.server, moment, lambda method: None)

    host.apply({"cat": "1.0.0"})

    (served,) = host.server.describe("cat")
    assert (served.workers, served.workers_ready) == (2, 2)
    assert not host.plan({"cat": "1.0.0"})[0]


def test_a_version_left_by_a_crash_that_answers_wrongly_does_not_stay(
    host: Host,
) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.script("cat-1.10.0", answer=lambda request: (200, b"[1, 3]"))
    recorder = Recorder()
    recorder.crash_at = 5  # just before the probe
    with pytest.raises(CrashError):
        host.apply({"cat": "1.10.0"}, recorder)
    assert host.state() == {"cat": ("1.0.0", ["1.0.0", "1.10.0"])}

    failure(host, {"cat": "1.10.0"})

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}
