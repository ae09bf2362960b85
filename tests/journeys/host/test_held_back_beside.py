"""A version beside the default that failed is not tried again while it is wanted."""

from __future__ import annotations

import pytest

from fakes.host import CrashError, Host, Models, Recorder
from model_servers.cli.host.report import status_text
from model_servers.core.changes import Probe, Sign
from model_servers.core.entries import Layout
from model_servers.core.golden import Request
from model_servers.core.guards import Override
from model_servers.core.names import Ref
from model_servers.core.profile import WantedModel
from model_servers.core.release import release_key
from model_servers.errors import OutsideError
from model_servers.journeys.host.rollback import Rollback
from model_servers.journeys.host.status import Status

pytestmark = pytest.mark.parametrize("layout", [Layout.DIR], indirect=True)

BAD = Ref.parse("cat@1.10.0")
SAID = "cat@1.10.0 answered 1 of 1 golden cases wrongly; case: "
UNTIL = ", until another version than 1.10.0 is wanted: "


def _beside(*also: str, default: str = "1.0.0") -> Models:
    return {"cat": {"default": default, "also": list(also)}}


def _wrongly(request: Request) -> tuple[int, bytes]:
    return 200, b"[0]"


def _fails(host: Host, models: Models) -> None:
    with pytest.raises(OutsideError, match="1 of 1 models failed: cat"):
        host.apply(models)


def _left_out(host: Host) -> list[str]:
    return [str(pin.bad) for pin in host.memory.read().held_back.get("cat", ())]


@pytest.fixture
def host(host: Host) -> Host:
    """A host on which cat@1.10.0 answers its golden requests wrongly."""
    host.server.script("cat-1.10.0", answer=_wrongly)
    return host


@pytest.fixture
def serving(host: Host) -> Host:
    """The same, which serves cat@1.0.0 and has tried cat@1.10.0 beside it."""
    _fails(host, _beside("1.10.0"))
    host.server.calls.clear()
    return host


def test_the_next_syncs_leave_it_alone_and_look_after_what_answers(
    serving: Host,
) -> None:
    serving.apply(_beside("1.10.0"))
    assert serving.server.calls == []
    serving.server.kill_workers("cat", "1.0.0")

    serving.apply(_beside("1.10.0"))

    assert {call[:2] for call in serving.server.calls} == {("scale", "cat")}
    assert serving.state()["cat"] == ("1.0.0", ["1.0.0"])
    assert serving.memory.read().served == {"cat": ("1.0.0",)}


def test_plan_status_and_history_say_which_and_why(serving: Host) -> None:
    [change] = serving.plan(_beside("1.10.0"))[0].changes
    models = {"cat": WantedModel.of({"default": "1.0.0", "also": ["1.10.0"]})}
    status = Status(planning=serving.planning).run(models, ask=True)
    shown = status_text(status, serving.sync.observe(), server="here").splitlines()

    assert (change.sign, change.after, change.also) == (Sign.KEEP, "1.0.0", ())
    assert change.why.startswith("1.10.0 is held back by ms on ")
    assert f"{UNTIL}{SAID}" in change.why
    assert (status.is_in_sync, status.is_healthy) == (True, True)
    assert shown[-2].startswith("cat@1.10.0 is held back by ms on ")
    assert f"{UNTIL}{SAID}" in shown[-2]
    assert shown[-1].endswith("`ms sync unpin cat` has it tried again")
    assert status.models[0].to_mapping()["held_back"].keys() == {"1.10.0"}
    assert serving.memory.events()[-1].why.startswith(SAID)


def test_a_lost_store_does_not_hide_it(serving: Host) -> None:
    serving.apply(_beside("1.10.0"))
    serving.store.fails = lambda method, key: True
    models = {"cat": WantedModel.of({"default": "1.0.0", "also": ["1.10.0"]})}

    status = Status(planning=serving.planning).run(models, ask=False)

    assert UNTIL in status.models[0].held_back["1.10.0"]


def test_an_upgrade_goes_on_without_it(host: Host) -> None:
    host.publish(Ref.parse("cat@1.11.0"))
    host.apply({"cat": "1.0.0"})
    asked = _beside("1.10.0", default="1.11.0")
    _fails(host, asked)

    host.apply(asked)

    assert host.state()["cat"] == ("1.11.0", ["1.11.0"])
    assert host.memory.read().pins == {}


def test_each_of_several_is_tried_once(host: Host) -> None:
    host.publish(Ref.parse("cat@1.11.0"))
    host.publish(Ref.parse("cat@1.12.0"))
    host.server.script("cat-1.11.0", answer=_wrongly)
    asked = _beside("1.10.0", "1.11.0", "1.12.0")
    _fails(host, asked)
    _fails(host, asked)

    host.apply(asked)

    assert host.state()["cat"] == ("1.0.0", ["1.0.0", "1.12.0"])
    assert _left_out(host) == ["1.10.0", "1.11.0"]


def test_another_version_is_tried_and_then_the_failed_one_again(serving: Host) -> None:
    serving.publish(Ref.parse("cat@1.11.0"))

    serving.apply(_beside("1.11.0"))

    assert serving.state()["cat"] == ("1.0.0", ["1.0.0", "1.11.0"])
    assert _left_out(serving) == []
    assert [one.what for one in serving.memory.events()] == [
        "failed",
        "changed",
        "unpinned",
    ]
    serving.server.script("cat-1.10.0")
    serving.apply(_beside("1.10.0"))
    assert serving.state()["cat"] == ("1.0.0", ["1.0.0", "1.10.0"])


def test_it_can_be_the_default_and_is_held_back_then_if_it_fails(serving: Host) -> None:
    _fails(serving, {"cat": "1.10.0"})

    serving.apply({"cat": "1.10.0"})

    assert str(serving.memory.read().pins["cat"].bad) == "1.10.0"
    assert serving.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_a_person_can_have_it_tried_again(serving: Host) -> None:
    [(version, pin)] = serving.sync.diary.unpin("cat", why="mended")
    serving.server.script("cat-1.10.0")

    serving.apply(_beside("1.10.0"))

    assert (str(version), pin.failed) == ("1.10.0", True)
    assert serving.state()["cat"] == ("1.0.0", ["1.0.0", "1.10.0"])
    assert serving.sync.diary.unpin("cat", why="") == []


def test_it_is_not_forgotten_while_nobody_can_say_what_is_wanted(serving: Host) -> None:
    serving.store.fails = lambda method, key: key == release_key(BAD)
    serving.model_store.forget(BAD)
    assert serving.plan(_beside("1.10.0"))[0].refused()

    serving.apply(_beside("1.10.0"))

    assert _left_out(serving) == ["1.10.0"]


def test_a_rollback_leaves_it_held_back(serving: Host) -> None:
    serving.publish(Ref.parse("cat@1.11.0"))
    serving.apply(_beside("1.10.0", default="1.11.0"))
    rollback = Rollback(planning=serving.planning)

    found = rollback.prepare("cat", None, asked=None, why="slow")
    rollback.run(found, Recorder(), why="slow")

    assert serving.state()["cat"] == ("1.0.0", ["1.0.0"])
    assert _left_out(serving) == ["1.10.0"]


@pytest.mark.parametrize("has_workers", [True, False])
def test_one_that_an_interrupted_run_has_left_goes_and_is_held_back(
    host: Host,
    has_workers: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    class Crash(Recorder):
        def starts(self, action: object) -> None:
            if action == Probe(BAD):
                raise CrashError

    with pytest.raises(CrashError):
        host.apply(_beside("1.10.0"), Crash())
    assert host.state()["cat"] == ("1.0.0", ["1.0.0", "1.10.0"])
    if not has_workers:
        host.server.kill_workers("cat", "1.10.0")

    _fails(host, _beside("1.10.0"))

    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])
    assert _left_out(host) == ["1.10.0"]


def test_one_that_has_served_stays_where_it_is(host: Host) -> None:
    host.server.script("cat-1.10.0")
    host.apply(_beside("1.10.0"))
    host.server.kill_workers("cat", "1.10.0")
    host.server.script("cat-1.10.0", answer=_wrongly)

    _fails(host, _beside("1.10.0"))

    assert host.state()["cat"] == ("1.0.0", ["1.0.0", "1.10.0"])
    assert _left_out(host) == []


def test_one_that_is_loaded_anew_for_other_settings_is_not_held_back(
    host: Host,
) -> None:
    host.server.script("cat-1.10.0")
    host.apply(_beside("1.10.0"))
    host.server.script("cat-1.10.0", answer=_wrongly)
    settings = {"default": "1.0.0", "also": ["1.10.0"], "batch_size": 3}

    with pytest.raises(OutsideError, match="1 of 1 models failed: cat"):
        host.apply({"cat": settings}, None, Override.DOWNTIME)

    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])
    assert _left_out(host) == []


def test_one_that_cannot_be_loaded_is_tried_again(host: Host) -> None:
    host.server.script("cat-1.10.0", crashes=True, load_error="the GPU was full")
    _fails(host, _beside("1.10.0"))
    host.server.script("cat-1.10.0")

    host.apply(_beside("1.10.0"))

    assert host.state()["cat"] == ("1.0.0", ["1.0.0", "1.10.0"])
