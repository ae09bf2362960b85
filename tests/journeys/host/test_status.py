"""A host is in sync or not, and healthy or not: four cases, and a file that tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.host import Clock, CrashError, Host, Recorder
from model_servers.cli.host.report import status_mapping, status_text
from model_servers.core.names import Ref
from model_servers.core.profile import WantedModel
from model_servers.core.status import HostStatus
from model_servers.errors import OutsideError
from model_servers.journeys.host.status import Status
from servers.nvml import Simulated

STABLE = {"cat": WantedModel(default="stable")}


@pytest.fixture
def serving(host: Host) -> Host:
    """A host that serves cat@1.0.0 because the channel stable points to it."""
    host.point("stable", cat="1.0.0")
    host.apply({"cat": "stable"})
    return host


def _status(host: Host, *, ask: bool = True) -> HostStatus:
    return Status(planning=host.planning).run(STABLE, ask=ask)


def _ready(host: Host) -> object:
    path = host.root / ".model-servers" / "host" / "ready"
    return json.loads(path.read_bytes()) if path.exists() else None


def test_in_sync_and_healthy(serving: Host) -> None:
    status = _status(serving)

    assert (status.is_in_sync, status.is_healthy) == (True, True)
    assert _ready(serving) == {"models": {"cat": "1.0.0"}}


def test_healthy_and_not_in_sync_is_ready_all_the_same(serving: Host) -> None:
    serving.point("stable", cat="1.10.0")

    status = _status(serving)

    assert (status.is_in_sync, status.is_healthy) == (False, True)
    assert status.models[0].why_not_in_sync == "1.0.0 -> 1.10.0"
    assert _ready(serving) == {"models": {"cat": "1.0.0"}}


def test_in_sync_and_answering_wrongly(serving: Host) -> None:
    _status(serving)
    serving.server.script("cat-1.0.0", answer=lambda request: (503, b"no"))
    serving.server.scale("cat", "1.0.0", 1)
    serving.server.describe("cat")

    status = _status(serving)

    assert (status.is_in_sync, status.is_healthy) == (True, False)
    assert status.models[0].why_not_healthy == (
        "cat@1.0.0 answered 1 of 1 golden cases wrongly; case: the status is 503: no"
    )
    assert _ready(serving) is None


def test_neither_in_sync_nor_healthy(serving: Host) -> None:
    serving.server.kill_workers("cat", "1.0.0")

    status = _status(serving)

    assert (status.is_in_sync, status.is_healthy) == (False, False)
    assert status.models[0].why_not_healthy == "0 of 1 workers are ready"


def test_a_lost_store_leaves_what_was_served_last(serving: Host) -> None:
    serving.store.fail_at = len(serving.store.calls) + 1

    status = _status(serving)

    assert (status.is_in_sync, status.is_healthy) == (False, True)
    assert "was told to fail" in status.store_error
    assert [(one.name, one.wanted, one.serves) for one in status.models] == [
        ("cat", "1.0.0", "1.0.0")
    ]
    assert _ready(serving) == {"models": {"cat": "1.0.0"}}


def test_a_server_that_does_not_answer_is_not_ready(serving: Host) -> None:
    def gone(method: str) -> None:
        raise OutsideError("the server does not answer")

    _status(serving)
    serving.server.before_call = gone

    with pytest.raises(OutsideError, match="does not answer"):
        _status(serving)

    assert _ready(serving) is None


def test_only_looking_asks_no_model_and_writes_no_file(serving: Host) -> None:
    serving.server.asked.clear()

    _status(serving, ask=False)

    assert serving.server.asked == []
    assert _ready(serving) is None


def test_a_pin_is_shown(serving: Host) -> None:
    ref = next(iter(serving.model_store.installed()))
    serving.sync.diary.pin(ref, why="a test")

    assert _status(serving).models[0].pinned.endswith(": a test")


def test_what_is_served_when_torchserve_starts_follows_every_change(
    host: Host,
) -> None:
    def served() -> object:
        return dict(host.memory.read().served)

    host.apply({"cat": {"default": "1.0.0", "also": ["1.10.0"]}, "dog": "1.0.0"})
    both = served()
    host.apply({"cat": "1.10.0", "dog": "1.0.0"})
    one = served()
    host.apply({"cat": "1.10.0"})

    assert both == {"cat": ("1.0.0", "1.10.0"), "dog": ("1.0.0",)}
    assert one == {"cat": ("1.10.0",), "dog": ("1.0.0",)}
    assert served() == {"cat": ("1.10.0",)}


def test_killed_at_any_moment_torchserve_would_start_with_what_had_answered(
    tmp_path: Path, clock: Clock
) -> None:
    def upgrading(folder: Path) -> Host:
        host = Host(folder, clock)
        for version in ("1.0.0", "1.10.0"):
            host.publish(Ref.parse(f"cat@{version}"))
        host.apply({"cat": "1.0.0"})
        return host

    boundaries = upgrading(tmp_path / "whole").apply({"cat": "1.10.0"}).boundaries
    for boundary in range(1, boundaries + 1):
        host = upgrading(tmp_path / str(boundary))
        recorder = Recorder()
        recorder.crash_at = boundary

        with pytest.raises(CrashError):
            host.apply({"cat": "1.10.0"}, recorder)

        served = host.memory.read().served["cat"]
        assert served[0] == host.server.default("cat")


def test_an_upgrade_without_room_is_not_in_sync_for_that_reason(
    serving: Host, gpus: Simulated
) -> None:
    serving.publish(Ref.parse("cat@2.0.0"), config={"system": {"maxGPUMemory": 9000}})
    serving.point("stable", cat="2.0.0")
    gpus.shows([(4000, 0)])

    status = _status(serving, ask=False)

    assert status.models[0].why_not_in_sync == "refused: it does not fit on GPU 0"


def test_what_nobody_asks_for_is_not_in_sync_and_needs_not_answer(
    serving: Host,
) -> None:
    serving.apply({"cat": "stable", "dog": "1.0.0"})
    serving.server.kill_workers("dog", "1.0.0")

    status = _status(serving)

    assert (status.is_in_sync, status.is_healthy) == (False, True)
    assert [(one.name, one.serves) for one in status.unwanted] == [("dog", "1.0.0")]
    assert _ready(serving) == {"models": {"cat": "1.0.0"}}
    shown = status_text(status, serving.sync.observe(), server="here")
    assert shown.endswith("\ndog is not in sync: the host profile does not ask for it")


def test_a_plan_that_is_refused_as_a_whole_is_told(serving: Host) -> None:
    status = Status(planning=serving.planning).run({}, ask=False)

    state = serving.sync.observe()
    lines = status_text(status, state, server="here").splitlines()
    assert lines[:3] == [
        "here: not in sync, not healthy",
        "note: a sync is refused: the host profile asks for no model; 1 would go: cat",
        "      hint: add --allow-empty if that is meant",
    ]
    assert status_mapping(status, state)["objections"] == [
        {
            "reason": "the host profile asks for no model; 1 would go: cat",
            "hint": "add --allow-empty if that is meant",
        }
    ]
