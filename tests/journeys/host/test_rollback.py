"""Going back in seconds, without a store, and staying there."""

from __future__ import annotations

import pytest

from fakes.host import CrashError, Host, Recorder
from model_servers.core.changes import Install
from model_servers.core.guards import Override
from model_servers.core.names import Ref, Version
from model_servers.errors import OutsideError, RefusedError, RequestError
from model_servers.journeys.host.rollback import Rollback
from servers.nvml import Simulated

LATEST = {"cat": "latest"}


def _roll_back(host: Host, to: str | None = None, why: str = "") -> Recorder:
    recorder = Recorder()
    version = None if to is None else Version.parse(to)
    _run(host, recorder, version, why=why)
    return recorder


def _run(
    host: Host,
    recorder: Recorder,
    version: Version | None,
    *allow: Override,
    why: str = "",
) -> None:
    rollback = Rollback(planning=host.planning)
    found = rollback.prepare("cat", version, asked=None, why=why, allow=allow)
    rollback.run(found, recorder, why=why)


@pytest.fixture
def upgraded(host: Host) -> Host:
    """A host that has gone from cat@1.0.0 to cat@1.10.0, and has lost its store."""
    host.apply({"cat": "1.0.0"})
    host.apply(LATEST)
    host.store.calls.clear()
    return host


def test_a_rollback_needs_no_store_and_fetches_nothing(upgraded: Host) -> None:
    recorder = _roll_back(upgraded)

    assert upgraded.state()["cat"] == ("1.0.0", ["1.0.0"])
    assert upgraded.store.calls == []
    assert not any(isinstance(one, Install) for one in recorder.started)


def test_the_next_sync_does_not_undo_a_rollback(upgraded: Host) -> None:
    _roll_back(upgraded, why="wrong labels")

    upgraded.apply(LATEST)

    assert upgraded.state()["cat"] == ("1.0.0", ["1.0.0"])
    pin = upgraded.memory.read().pins["cat"]
    assert (str(pin.version), str(pin.bad), pin.who, pin.why) == (
        "1.0.0",
        "1.10.0",
        "ann@host",
        "wrong labels",
    )


def test_a_version_above_the_bad_one_ends_a_rollback(upgraded: Host) -> None:
    _roll_back(upgraded)
    upgraded.publish(Ref.parse("cat@2.0.0"))

    upgraded.apply(LATEST)

    assert upgraded.state()["cat"] == ("2.0.0", ["2.0.0"])


def test_the_version_that_answered_before_is_taken_and_not_the_next_lower(
    host: Host,
) -> None:
    host.publish(Ref.parse("cat@1.9.0"))
    for version in ("1.9.0", "1.0.0", "1.10.0"):
        host.apply({"cat": version})

    _roll_back(host)

    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_a_second_rollback_does_not_return_to_the_bad_version(host: Host) -> None:
    host.publish(Ref.parse("cat@1.9.0"))
    for version in ("1.0.0", "1.9.0", "1.10.0"):
        host.apply({"cat": version})

    _roll_back(host)
    _roll_back(host)

    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_a_rollback_keeps_what_is_served_beside(host: Host) -> None:
    host.publish(Ref.parse("cat@0.9"))
    host.apply({"cat": {"default": "1.0.0", "also": ["0.9"]}})
    host.apply({"cat": {"default": "1.10.0", "also": ["0.9"]}})

    _roll_back(host)

    assert host.state()["cat"] == ("1.0.0", ["0.9", "1.0.0"])


def test_other_models_are_not_touched(host: Host) -> None:
    host.apply({"cat": "1.0.0", "dog": "1.0.0"})
    host.apply({"cat": "1.10.0", "dog": "1.0.0"})

    _roll_back(host)

    assert host.state()["dog"] == ("1.0.0", ["1.0.0"])


def test_requests_that_a_broken_version_will_never_answer_hold_nothing_up(
    upgraded: Host,
) -> None:
    upgraded.server.kill_workers("cat", "1.10.0")
    upgraded.server.waiting("cat", "1.10.0").extend([7] * 10_000)
    before_s = upgraded.clock.now_s

    _roll_back(upgraded)

    assert upgraded.clock.now_s - before_s < 5
    assert upgraded.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_an_interrupted_rollback_is_finished_by_the_next_sync(upgraded: Host) -> None:
    recorder = Recorder()
    recorder.crash_at = 1

    with pytest.raises(CrashError):
        _run(upgraded, recorder, None)

    upgraded.apply(LATEST)
    assert upgraded.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_what_is_not_on_the_disk_is_refused_with_what_is(upgraded: Host) -> None:
    with pytest.raises(RefusedError) as caught:
        _roll_back(upgraded, to="0.1")

    assert str(caught.value) == "cat@0.1 is not on this host; it has 1.0.0, 1.10.0"
    assert "ms sync pin cat 0.1" in caught.value.hint
    assert upgraded.memory.read().pins == {}


def test_the_version_that_answers_is_no_rollback(upgraded: Host) -> None:
    with pytest.raises(RequestError, match=r"cat@1\.10\.0 is what answers now"):
        _roll_back(upgraded, to="1.10.0")


def test_a_model_that_is_not_served_is_named(host: Host) -> None:
    with pytest.raises(RequestError, match="this host serves no cat"):
        _roll_back(host)


def test_a_host_that_has_served_one_version_only_has_nothing_to_go_back_to(
    host: Host,
) -> None:
    host.apply(LATEST)

    with pytest.raises(RefusedError, match="no version of cat that answered here"):
        _roll_back(host)


def test_a_rollback_to_what_cannot_be_loaded_leaves_what_answers(
    upgraded: Host,
) -> None:
    upgraded.server.script("cat-1.0.0", crashes=True, load_error="no GPU")

    with pytest.raises(OutsideError, match="1 of 1 models failed: cat"):
        _roll_back(upgraded)

    assert upgraded.state()["cat"] == ("1.10.0", ["1.10.0"])


def test_the_history_says_who_did_what_and_why(upgraded: Host) -> None:
    _roll_back(upgraded, why="wrong labels")

    assert [
        (one.who, one.what, one.model, one.before, one.after, one.why)
        for one in upgraded.memory.events()
    ] == [
        ("ann@host", "changed", "cat", None, "1.0.0", ""),
        ("ann@host", "changed", "cat", "1.0.0", "1.10.0", ""),
        ("ann@host", "rolled back", "cat", "1.10.0", "1.0.0", "wrong labels"),
    ]


@pytest.fixture
def crowded(host: Host, gpus: Simulated) -> Host:
    """A host whose GPU has room for one version of cat beside ape, not for two."""
    for ref in ("cat@3.0.0", "cat@3.1.0", "ape@3.0.0"):
        host.publish(Ref.parse(ref), config={"system": {"maxGPUMemory": 1000}})
    gpus.shows([(9000, 0)])
    host.apply({"cat": "3.0.0", "ape": "3.0.0"})
    host.apply({"cat": "3.1.0", "ape": "3.0.0"})
    gpus.shows([(4000, 2000)], processes=[(0, _pid(host, "cat"), 1000)])
    host.store.calls.clear()
    return host


def _pid(host: Host, name: str) -> int:
    (served,) = host.server.describe(name)
    return served.pids[0]


def test_a_rollback_without_room_waits_for_consent(crowded: Host) -> None:
    with pytest.raises(RefusedError) as caught:
        _roll_back(crowded)

    assert str(caught.value) == (
        "cat does not go back to 3.0.0: it fits only once the old version is gone"
    )
    assert caught.value.hint.startswith("add --allow-downtime")
    assert crowded.state()["cat"] == ("3.1.0", ["3.1.0"])
    assert crowded.memory.read().pins == {}


def test_a_rollback_that_may_be_silent_makes_room_first(crowded: Host) -> None:
    crowded.server.calls.clear()

    _run(crowded, Recorder(), None, Override.DOWNTIME)

    assert crowded.server.calls == [
        ("unregister", "cat", "3.1.0"),
        ("register", "cat@3.0.0"),
    ]
    assert crowded.store.calls == []
    assert crowded.server.versions("ape") == ["3.0.0"]


def test_a_rollback_takes_no_room_of_other_models(
    crowded: Host, gpus: Simulated
) -> None:
    gpus.shows([(3000, 2000)], processes=[(0, _pid(crowded, "ape"), 1600)])

    with pytest.raises(RefusedError, match="it does not fit on GPU 0"):
        _run(crowded, Recorder(), None, Override.DOWNTIME)


def test_a_rollback_shows_the_gpu_that_it_takes(crowded: Host, gpus: Simulated) -> None:
    gpus.shows([(9000, 2000), (9000, 0)])

    found = Rollback(planning=crowded.planning).prepare("cat", None, asked=None, why="")

    assert {name for name, _ in found.admission.placements()} == {"cat"}
    assert [change.name for change in found.plan.changes] == ["cat"]
