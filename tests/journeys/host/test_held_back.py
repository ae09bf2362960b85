"""A release that failed is not tried again before another one is wanted."""

from __future__ import annotations

import pytest

from fakes.host import Host, Models, Recorder
from model_servers.core.changes import Sign
from model_servers.core.golden import Request
from model_servers.core.guards import Override
from model_servers.core.memory import Pin
from model_servers.core.names import Ref, Version
from model_servers.errors import OutsideError

OLD, NEW = {"cat": "1.0.0"}, {"cat": "1.10.0"}


def _wrongly(request: Request) -> tuple[int, bytes]:
    return 200, b"[0]"


@pytest.fixture
def host(host: Host) -> Host:
    """A host on which cat@1.10.0 answers its golden requests wrongly."""
    host.server.script("cat-1.10.0", answer=_wrongly)
    return host


@pytest.fixture
def serving(host: Host) -> Host:
    """The same, which serves cat@1.0.0 and has tried cat@1.10.0."""
    host.apply(OLD)
    _fails(host, NEW)
    host.server.calls.clear()
    return host


def _fails(host: Host, models: Models) -> None:
    with pytest.raises(OutsideError, match="1 of 1 models failed: cat"):
        host.apply(models)


def _pin(host: Host) -> Pin:
    return host.memory.read().pins["cat"]


def test_the_next_syncs_leave_it_alone_and_look_after_what_answers(
    serving: Host,
) -> None:
    serving.server.kill_workers("cat", "1.0.0")

    serving.apply(NEW)
    serving.apply(NEW)

    assert {call[:2] for call in serving.server.calls} == {("scale", "cat")}
    assert serving.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_plan_and_history_say_which_and_why(serving: Host) -> None:
    (change,) = serving.plan(NEW)[0].changes

    said = "cat@1.10.0 answered 1 of 1 golden cases wrongly; case: "
    assert (change.sign, change.after) == (Sign.KEEP, "1.0.0")
    assert change.why.startswith("pinned by ms on ")
    assert f", until another version than 1.10.0 is wanted: {said}" in change.why
    assert [(one.what, one.after) for one in serving.memory.events()] == [
        ("changed", "1.0.0"),
        ("failed", "1.10.0"),
    ]
    assert serving.memory.events()[-1].why.startswith(said)


@pytest.mark.parametrize("version", ["1.9.0", "1.11.0"])
def test_another_version_is_tried_whether_older_or_newer(
    serving: Host, version: str
) -> None:
    serving.publish(Ref.parse(f"cat@{version}"))

    serving.apply({"cat": version})

    assert serving.state()["cat"] == (version, [version])
    assert serving.memory.read().pins == {}


def test_what_answers_being_wanted_again_ends_it(serving: Host) -> None:
    serving.apply(OLD)

    assert serving.server.calls == []
    assert serving.memory.read().pins == {}


def test_it_is_tried_again_once_it_is_not_pinned(serving: Host) -> None:
    serving.memory.write(serving.memory.read().with_pin("cat", None))
    serving.server.script("cat-1.10.0")

    serving.apply(NEW)

    assert serving.state()["cat"] == ("1.10.0", ["1.10.0"])


def test_a_first_version_that_fails_is_not_tried_again_either(host: Host) -> None:
    _fails(host, NEW)
    host.server.calls.clear()

    host.apply(NEW)

    assert host.server.calls == []
    (change,) = host.plan(NEW)[0].changes
    assert change.sign is Sign.REFUSE
    assert change.reason.startswith("held back by ms on ")
    assert change.hint == "release another version; `ms sync unpin cat` lifts that"
    host.apply(OLD)
    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])
    assert host.memory.read().pins == {}


def test_other_models_go_on(host: Host) -> None:
    _fails(host, NEW)

    host.apply({**NEW, "dog": "1.0.0"})

    assert host.state() == {"dog": ("1.0.0", ["1.0.0"])}


def test_what_a_person_rolled_back_stays_so_after_a_newer_one_failed(
    host: Host,
) -> None:
    host.publish(Ref.parse("cat@1.9.0"))
    host.apply(OLD)
    bad = Version.parse("1.9.0")
    host.sync.diary.pin(Ref.parse("cat@1.0.0"), why="slow", bad=bad)
    _fails(host, NEW)

    host.apply({"cat": "1.9.0"})

    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])
    pin = _pin(host)
    assert (pin.who, str(pin.bad)) == ("ann@host", "1.10.0")
    assert pin.why.startswith("slow; cat@1.10.0 answered 1 of 1 golden cases wrongly")


def test_what_a_person_pinned_is_followed_by_nothing_but_an_unpin(host: Host) -> None:
    host.apply(OLD)
    host.sync.diary.pin(Ref.parse("cat@1.10.0"), why="until Monday")
    _fails(host, OLD)
    host.publish(Ref.parse("cat@2.0.0"))

    host.apply({"cat": "2.0.0"})

    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_a_version_that_cannot_be_loaded_is_tried_again(host: Host) -> None:
    host.apply(OLD)
    host.server.script("cat-1.10.0", crashes=True, load_error="the GPU was full")
    _fails(host, NEW)
    host.server.script("cat-1.10.0")

    host.apply(NEW)

    assert host.state()["cat"] == ("1.10.0", ["1.10.0"])


def test_a_version_beside_the_default_holds_no_default_back(host: Host) -> None:
    host.apply(OLD)
    host.publish(Ref.parse("cat@1.11.0"))
    _fails(host, {"cat": {"default": "1.11.0", "also": ["1.10.0"]}})

    assert host.memory.read().pins == {}
    assert host.server.default("cat") == "1.11.0"


def test_a_version_that_made_room_answers_again_and_is_pinned(host: Host) -> None:
    host.apply(OLD)
    resource = {"cat": {"default": "1.10.0", "update": "resource"}}
    with pytest.raises(OutsideError):
        host.apply(resource, Recorder(), Override.DOWNTIME)
    host.server.calls.clear()

    host.apply(resource)

    assert host.server.calls == []
    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])
