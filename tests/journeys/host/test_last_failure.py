"""Status says why the last change of a model failed, until it is as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fakes.host import Host, Models, Recorder
from journeys.host.failing import failure
from model_servers.cli.host.report import status_mapping, status_text
from model_servers.core.names import Ref, Version
from model_servers.core.profile import WantedModel
from model_servers.errors import OutsideError
from model_servers.journeys.host.rollback import Rollback
from model_servers.journeys.host.status import Status

NO_PANDAS = "handler_model.py: no module named 'pandas'"
CAT_2 = {"cat": "1.10.0"}


@pytest.fixture
def unloadable(host: Host) -> Host:
    """A host that serves cat@1.0.0, and cannot load cat@1.10.0."""
    host.apply({"cat": "1.0.0"})
    host.server.script("cat-1.10.0", crashes=True, load_error=NO_PANDAS)
    return host


def _loads_now(host: Host) -> None:
    host.server.script("cat-1.10.0", ready_after=1)


def _shown(host: Host, models: Models) -> tuple[list[str], Mapping[str, Any]]:
    """Give the lines of `ms sync status` that tell of failures, and its JSON."""
    wanted = {name: WantedModel.of(one) for name, one in models.items()}
    status = Status(planning=host.planning).run(wanted, ask=False)
    state = host.sync.observe()
    text = status_text(status, state, server="here")
    lines = [
        line for line in text.splitlines() if " failed " in line or "hint:" in line
    ]
    (cat,) = (one for one in status_mapping(status, state)["models"])
    return lines, cat["last_failure"]


def test_nothing_failed(host: Host) -> None:
    host.apply({"cat": "1.0.0"})

    assert _shown(host, {"cat": "1.0.0"}) == ([], None)


def test_what_could_not_be_loaded_is_told_with_what_to_type(unloadable: Host) -> None:
    failure(unloadable, CAT_2)
    when = unloadable.memory.events()[-1].when

    lines, told = _shown(unloadable, CAT_2)

    assert lines[0] == (
        f"cat@1.10.0 failed on {when}: cat@1.10.0 cannot be loaded: {NO_PANDAS}"
    )
    assert lines[1].startswith("      hint: ")
    assert told["hint"]
    assert told == {
        "version": "1.10.0",
        "why": f"cat@1.10.0 cannot be loaded: {NO_PANDAS}",
        "hint": told["hint"],
        "when": when,
        "since": when,
        "times": 1,
        "is_tried_again": True,
    }


def test_what_fails_again_and_again_is_counted_and_in_the_history_once(
    unloadable: Host,
) -> None:
    for _ in range(3):
        failure(unloadable, CAT_2)
        unloadable.clock.sleep(60)

    (line, _), told = _shown(unloadable, CAT_2)

    first, last = told["since"], told["when"]
    assert first < last
    assert line.startswith(f"cat@1.10.0 failed 3 times since {first}, last on {last}: ")
    events = [one for one in unloadable.memory.events() if one.what == "failed"]
    assert [one.when for one in events] == [first]


def test_another_reason_is_another_failure(unloadable: Host) -> None:
    failure(unloadable, CAT_2)
    unloadable.server.script("cat-1.10.0", crashes=True, load_error="no GPU")

    failure(unloadable, CAT_2)

    _, told = _shown(unloadable, CAT_2)
    assert (told["times"], told["why"]) == (1, "cat@1.10.0 cannot be loaded: no GPU")
    assert len([e for e in unloadable.memory.events() if e.what == "failed"]) == 2


def test_it_is_forgotten_once_that_version_answers(unloadable: Host) -> None:
    failure(unloadable, CAT_2)
    _loads_now(unloadable)

    unloadable.apply(CAT_2)

    assert _shown(unloadable, CAT_2) == ([], None)


def test_it_is_forgotten_once_nobody_asks_for_that_version(unloadable: Host) -> None:
    failure(unloadable, CAT_2)

    unloadable.apply({"cat": "1.0.0"})

    assert _shown(unloadable, {"cat": "1.0.0"}) == ([], None)


def test_it_stays_while_the_model_is_refused(unloadable: Host) -> None:
    failure(unloadable, CAT_2)
    missing = {"cat": "9.0.0"}

    unloadable.apply(missing)

    lines, told = _shown(unloadable, missing)
    assert told["version"] == "1.10.0"
    assert lines[-1] == (
        "      hint: publish it with `ms publish cat`, or correct the host profile"
    )


def test_without_a_better_word_the_next_command_is_apply(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.before_call = _gone

    failure(host, CAT_2)

    host.server.before_call = lambda method: None
    (line, hint), _ = _shown(host, CAT_2)
    assert line.endswith(": the server does not answer")
    assert hint == "      hint: `ms sync apply` tries it again"


def _gone(method: str) -> None:
    if method == "register":
        raise OutsideError("the server does not answer")


def test_a_fetch_that_failed_is_told(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    plan = host.sync.plan(host.resolve(CAT_2).desired)
    host.store.fails = lambda method, key: method == "chunks"

    with pytest.raises(OutsideError):
        host.sync.apply(plan, host.resolve(CAT_2), Recorder())

    host.store.fails = lambda method, key: False
    (line, hint), told = _shown(host, CAT_2)
    assert line.endswith("the store memory://store answered InternalError")
    assert hint.startswith("      hint: `ms store doctor` tells ")
    assert told["is_tried_again"]


def test_what_is_held_back_says_why_once_and_how_it_is_tried_again(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.script("cat-1.10.0", answer=lambda request: (503, b"no"))
    failure(host, CAT_2)
    host.apply(CAT_2)  # which keeps 1.0.0

    lines, told = _shown(host, CAT_2)

    (line,) = lines
    assert line == (
        "      hint: correct the model; `ms test cat` tries it; "
        "`ms sync unpin cat` has it tried again"
    )
    assert (told["version"], told["is_tried_again"]) == ("1.10.0", False)
    assert told["why"].endswith("case: the status is 503: no")


def test_what_was_held_back_is_forgotten_with_the_version_that_lifts_that(
    host: Host,
) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.script("cat-1.10.0", answer=lambda request: (503, b"no"))
    failure(host, CAT_2)
    host.publish(Ref.parse("cat@1.11.0"))

    host.apply({"cat": "1.11.0"})

    assert _shown(host, {"cat": "1.11.0"}) == ([], None)


def test_a_rollback_of_another_model_forgets_nothing(unloadable: Host) -> None:
    unloadable.publish(Ref.parse("dog@1.1.0"))
    both = {"cat": "1.0.0", "dog": "1.0.0"}
    unloadable.apply(both)
    unloadable.apply({**both, "dog": "1.1.0"})
    failure(unloadable, {**CAT_2, "dog": "1.1.0"})
    back = Rollback(planning=unloadable.planning)

    back.run(
        back.prepare("dog", Version.parse("1.0.0"), asked=None, why=""),
        Recorder(),
        why="",
    )

    assert unloadable.memory.read().failures.keys() == {"cat"}


def test_a_lost_store_does_not_hide_it(unloadable: Host) -> None:
    failure(unloadable, CAT_2)
    unloadable.store.fails = lambda method, key: True

    (line, _), _ = _shown(unloadable, CAT_2)

    assert line.endswith(NO_PANDAS)
