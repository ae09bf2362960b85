"""Syncing a host: the old version answers until the new one has proved itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from fakes.host import Clock, CrashError, Host, Models, Recorder
from model_servers.adapters.entries import why_unusable
from model_servers.core.entries import Layout
from model_servers.core.guards import Override
from model_servers.core.host import Refusal, wanted_releases
from model_servers.core.lifecycle import Notice, State
from model_servers.core.names import Ref, Version
from model_servers.core.plan import (
    Drain,
    Install,
    Probe,
    Register,
    Revive,
    SetDefault,
    Unregister,
)
from model_servers.errors import OutsideError, RefusedError
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.host.sync import reviewed

CAT_1, CAT_2 = Ref.parse("cat@1.0.0"), Ref.parse("cat@1.10.0")
DOG = Ref.parse("dog@1.0.0")


YANKED = Notice(state=State.YANKED, reason="wrong labels", date="2026-01-02")


def note(host: Host, **said: Notice) -> None:
    """Let the store say something of versions of cat, such as ``v1_0_0``."""
    catalog = Catalog(store=host.store, releases=host.sync.releases)
    notices = {
        Version.parse(name[1:].replace("_", ".")): notice
        for name, notice in said.items()
    }
    catalog.note({"cat": notices})


def test_latest_passes_over_yanked_versions(host: Host) -> None:
    note(host, v1_10_0=YANKED)

    host.apply({"cat": "latest"})

    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_latest_of_nothing_but_yanked_versions_is_refused(host: Host) -> None:
    note(host, v1_0_0=YANKED, v1_10_0=YANKED)

    refusal = host.resolve({"cat": "latest"}).desired["cat"]

    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith("every released version of cat is yanked")


def test_a_host_is_told_what_is_said_of_the_versions_that_it_names(host: Host) -> None:
    note(host, v1_10_0=YANKED)

    resolved = host.resolve({"cat": "1.10.0", "dog": "latest"})

    assert resolved.notices == {CAT_2: YANKED}


def test_a_store_without_an_index_says_nothing_and_still_has_a_latest(
    host: Host,
) -> None:
    host.store.delete("index.json")

    resolved = host.resolve({"cat": "latest"})

    assert list(wanted_releases(resolved.desired)) == [CAT_2]
    assert resolved.notices == {}


def _failure(host: Host, models: Models, name: str = "cat") -> str:
    """Apply, which has to fail for *name*; give the error that was shown for it."""
    recorder = Recorder()
    with pytest.raises(OutsideError, match=rf"^1 of \d models failed: {name}$"):
        host.apply(models, recorder)
    assert list(recorder.failures) == [name]
    return str(recorder.failures[name])


def test_apply_reaches_the_desired_state_and_then_plans_nothing(host: Host) -> None:
    models = {"cat": "1.0.0", "dog": "latest"}

    recorder = host.apply(models)

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"]), "dog": ("1.0.0", ["1.0.0"])}
    assert host.server.calls == [("register", "cat@1.0.0"), ("register", "dog@1.0.0")]
    assert [verdict.differences for verdict in recorder.verdicts] == [(), ()]
    plan, _ = host.plan(models)
    assert not plan
    host.server.calls.clear()
    host.apply(models)
    assert host.server.calls == []


def test_a_plan_says_what_will_happen_and_touches_nothing(host: Host) -> None:
    plan, desired = host.plan({"cat": "latest"})

    (change,) = plan.changes
    archive = wanted_releases(desired)[CAT_2].archive
    everything = sum(member.length for member in archive.members)
    assert change.actions == (
        Install(
            CAT_2,
            archive.sha256,
            everything,
            archive.size_bytes,
            archive="cat-1.10.0.mar" if host.layout is Layout.MAR else "",
        ),
        Register(CAT_2),
        Probe(CAT_2),
    )
    assert host.server.calls == []
    assert list(host.root.iterdir()) == []


def test_the_highest_version_is_the_latest(host: Host) -> None:
    host.publish(Ref.parse("cat@1.9.0"))

    desired = host.resolve({"cat": "latest"}).desired
    assert list(wanted_releases(desired)) == [CAT_2]


def test_an_upgrade_runs_in_order_and_fetches_only_what_changed(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.calls.clear()

    recorder = host.apply({"cat": "1.10.0"})

    (install, *others) = recorder.started
    assert isinstance(install, Install)
    assert others == [
        Register(CAT_2),
        Probe(CAT_2),
        SetDefault(CAT_2),
        Drain("cat", "1.0.0"),
        Unregister("cat", "1.0.0"),
    ]
    assert recorder.done_ == recorder.started
    assert host.server.calls == [
        ("register", "cat@1.10.0"),
        ("set_default", "cat@1.10.0"),
        ("unregister", "cat", "1.0.0"),
    ]
    assert recorder.fetched_bytes == install.fetch_bytes
    # labels.txt, model-config, manifest; neither the weights nor the handler.
    assert 0 < install.fetch_bytes < 2000
    assert host.state() == {"cat": ("1.10.0", ["1.10.0"])}


def test_the_old_version_answers_until_the_new_one_has_answered(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.asked.clear()

    host.apply({"cat": "1.10.0"})

    assert host.server.asked == [("cat@1.10.0", "1.0.0")]


def test_going_back_needs_neither_bytes_nor_new_answers(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.apply({"cat": "1.10.0"})
    host.store.calls.clear()

    recorder = host.apply({"cat": "1.0.0"})

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}
    assert not any(isinstance(action, Install) for action in recorder.started)
    assert not any(method == "chunks" for method, _ in host.store.calls)


def test_a_wrong_golden_answer_leaves_the_old_version(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.script("cat-1.10.0", answer=lambda request: (200, b"[1, 3]"))
    host.server.calls.clear()

    message = _failure(host, {"cat": "1.10.0"})

    assert message == (
        "cat@1.10.0 answered 1 of 1 golden cases wrongly; "
        "case: answer[1] is 3, expected 2"
    )
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}
    assert host.server.calls == [
        ("register", "cat@1.10.0"),
        ("unregister", "cat", "1.10.0"),
    ]
    assert not host.model_store.installed()[CAT_2].answered


def test_a_first_version_with_a_wrong_answer_does_not_stay(host: Host) -> None:
    host.server.script("cat-1.0.0", answer=lambda request: (507, b"no memory"))

    message = _failure(host, {"cat": "1.0.0"})

    assert message.endswith("case: the status is 507: no memory")
    assert host.state() == {}


def test_all_golden_cases_are_asked_and_shown(host: Host) -> None:
    ref = Ref.parse("cat@2.0.0")
    case = (
        "schema: 1\nrequest: {content_type: text/plain, text: '7'}\nexpect: {json: 8}\n"
    )
    host.publish(ref, files={"golden/another.yaml": case})
    recorder = Recorder()

    with pytest.raises(OutsideError):
        host.apply({"cat": "2.0.0"}, recorder)

    shown = [(one.case, one.answer, one.differences) for one in recorder.verdicts]
    assert shown == [
        ("another", "7", ("answer is 7, expected 8",)),
        ("case", "[1,2]", ()),
    ]


def test_a_load_error_is_shown_in_the_handlers_words_and_at_once(
    host: Host, clock: Clock
) -> None:
    host.apply({"cat": "1.0.0"})
    reason = "handler_model.py: no module named 'pandas'"
    host.server.script("cat-1.10.0", crashes=True, load_error=reason)
    before_s = clock.now_s

    message = _failure(host, {"cat": "1.10.0"})

    assert message == f"cat@1.10.0 cannot be loaded: {reason}"
    assert clock.now_s - before_s < 5
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_an_old_load_error_is_forgotten_at_a_new_try(host: Host) -> None:
    host.server.script("cat-1.0.0", crashes=True, load_error="no GPU")
    assert _failure(host, {"cat": "1.0.0"}).endswith(": no GPU")
    host.server.script("cat-1.0.0", ready_after=3)

    host.apply({"cat": "1.0.0"})

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_workers_that_crash_without_a_word_are_given_up(
    host: Host, clock: Clock
) -> None:
    host.server.script("cat-1.0.0", crashes=True)
    before_s = clock.now_s

    message = _failure(host, {"cat": "1.0.0"})

    assert message == "cat@1.0.0 cannot be loaded: its workers ended 4 times"
    assert clock.now_s - before_s < 10
    assert host.state() == {}


def test_a_version_that_never_becomes_ready_is_given_up_in_time(
    host: Host, clock: Clock
) -> None:
    ref = Ref.parse("cat@2.0.0")
    host.publish(ref, config={"startupTimeout": 45})
    host.apply({"cat": "1.0.0"})
    host.server.script("cat-2.0.0", ready_after=None)
    before_s = clock.now_s

    message = _failure(host, {"cat": "2.0.0"})

    assert message == "cat@2.0.0 was not ready within 75 s"
    assert 75 <= clock.now_s - before_s < 80
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_settings_that_torchserve_ignores_are_told(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.script(
        "cat-1.10.0", ignores={"maxBatchDelay": 100, "responseTimeout": 120}
    )

    message = _failure(host, {"cat": "1.10.0"})

    assert message == (
        "TorchServe serves cat@1.10.0 with other settings: "
        "maxBatchDelay is 100, model-config.yaml asks for 5; "
        "responseTimeout is 120, model-config.yaml asks for 30"
    )
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_an_archive_that_cannot_be_read_stops_no_plan(host: Host) -> None:
    key = next(key for key in host.store.objects if "cat-1.0.0" in key)
    host.store.delete(key)

    plan, _ = host.plan({"cat": "1.0.0", "dog": "1.0.0"})

    assert [change.name for change in plan.pending()] == ["cat", "dog"]


def test_one_broken_model_does_not_stop_the_others(host: Host) -> None:
    host.server.script("cat-1.0.0", crashes=True, load_error="broken")
    recorder = Recorder()

    with pytest.raises(OutsideError) as caught:
        host.apply({"cat": "1.0.0", "dog": "1.0.0"}, recorder)

    assert str(caught.value) == "1 of 2 models failed: cat"
    assert caught.value.hint == "`ms sync status` shows what answers"
    assert {name: error.hint for name, error in recorder.failures.items()} == {
        "cat": "correct the model; `ms test cat` tries it"
    }
    assert host.state() == {"dog": ("1.0.0", ["1.0.0"])}


def test_damaged_bytes_leave_the_old_version(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    release = host.sync.releases.find(CAT_2)
    assert release is not None
    whole = host.store.objects[release.key]
    host.store.objects[release.key] = bytes(len(whole))
    host.server.calls.clear()

    assert _failure(host, {"cat": "1.10.0"}).startswith("wrong bytes came for ")

    assert host.server.calls == []
    host.store.objects[release.key] = whole
    host.apply({"cat": "1.10.0"})
    assert host.state() == {"cat": ("1.10.0", ["1.10.0"])}


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


def test_dead_workers_are_started_anew_and_asked_again(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.kill_workers("cat", "1.0.0")
    host.server.calls.clear()

    recorder = host.apply({"cat": "1.0.0"})

    assert recorder.started == [Revive(CAT_1), Probe(CAT_1)]
    assert host.server.calls == [
        ("scale", "cat", "1.0.0", "0"),
        ("scale", "cat", "1.0.0", "1"),
    ]
    assert not host.plan({"cat": "1.0.0"})[0]


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

    _failure(host, {"cat": "1.10.0"})

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_a_version_that_answered_before_stays_when_it_answers_wrongly_later(
    host: Host,
) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.kill_workers("cat", "1.0.0")
    host.server.script("cat-1.0.0", answer=lambda request: (200, b"[1, 3]"))

    _failure(host, {"cat": "1.0.0"})

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_what_was_unregistered_by_hand_is_registered_again(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.unregister("cat", "1.0.0")

    recorder = host.apply({"cat": "1.0.0"})

    assert recorder.started[0] == Register(CAT_1)
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_what_was_registered_from_elsewhere_is_registered_from_its_release(
    host: Host,
) -> None:
    host.server.register_as("cat", "1.0.0", "http://example.org/cat.mar")

    host.apply({"cat": "1.0.0"})

    assert host.server.calls[:2] == [
        ("unregister", "cat", "1.0.0"),
        ("register", "cat@1.0.0"),
    ]
    assert host.server.describe("cat")[0].location == host.layout.entry(CAT_1)


def test_a_default_that_has_to_be_registered_anew_can_go_in_spite_of_others(
    host: Host,
) -> None:
    host.server.register_as("cat", "1.0.0", "http://example.org/cat.mar")
    host.server.register_as("cat", "0.1", "http://example.org/old.mar")

    host.apply({"cat": "1.0.0"})

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}
    assert host.server.describe("cat")[0].location == host.layout.entry(CAT_1)


def test_the_old_version_goes_once_nobody_waits_for_it(
    host: Host, clock: Clock
) -> None:
    host.apply({"cat": "1.0.0"})
    old = host.server.waiting("cat", "1.0.0")
    describing: list[int] = []
    host.server.after_call = lambda method: (
        old.extend([5, 5, 1]) if method == "set_default" else None
    )
    host.server.before_call = lambda method: (
        describing.append(len(old)) if method == "unregister" else None
    )
    recorder = Recorder()
    before_s = clock.now_s

    host.apply({"cat": "1.10.0"}, recorder)

    assert describing == [0]
    # Three looks half a second apart, and the time for those in work.
    assert clock.now_s - before_s >= 3 * 0.5 + host.policy.drain_s
    assert host.state() == {"cat": ("1.10.0", ["1.10.0"])}


def test_a_version_that_somebody_always_waits_for_stays(
    host: Host, clock: Clock
) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.waiting("cat", "1.0.0").extend([1] * 10_000)

    message = _failure(host, {"cat": "1.10.0"})

    assert message == "cat@1.0.0 still has requests waiting after 600 s"
    assert host.server.calls[-1] == ("set_default", "cat@1.10.0")
    assert host.state() == {"cat": ("1.10.0", ["1.0.0", "1.10.0"])}


def test_a_model_that_is_not_asked_for_any_more_goes(host: Host) -> None:
    host.apply({"cat": "1.0.0", "dog": "1.0.0"})

    recorder = host.apply({"dog": "1.0.0"})

    assert recorder.started == [Drain("cat", "1.0.0"), Unregister("cat", "1.0.0")]
    assert host.state() == {"dog": ("1.0.0", ["1.0.0"])}


def test_a_model_goes_with_all_its_versions_the_default_last(host: Host) -> None:
    host.apply({"cat": "1.0.0", "dog": "1.0.0"})
    host.server.register_as("cat", "0.1", "elsewhere")
    host.server.register_as("cat", "3.0", "elsewhere")

    host.apply({"dog": "1.0.0"})

    assert host.server.calls[-3:] == [
        ("unregister", "cat", "0.1"),
        ("unregister", "cat", "3.0"),
        ("unregister", "cat", "1.0.0"),
    ]


def test_models_of_others_are_left_alone(host: Host) -> None:
    host.server.register_as("foreign", "1.0", "foreign.mar")

    host.apply({"cat": "1.0.0"})
    plan, _ = host.plan({}, Override.EMPTY)

    assert [change.name for change in plan.changes] == ["cat"]
    assert host.server.versions("foreign") == ["1.0"]


def test_an_empty_profile_is_refused_unless_it_is_meant(host: Host) -> None:
    host.apply({"cat": "1.0.0", "dog": "1.0.0"})

    with pytest.raises(RefusedError) as caught:
        host.plan({})

    assert str(caught.value) == (
        "the host profile asks for no model; 2 would go: cat, dog"
    )
    assert caught.value.hint == "add --allow-empty if that is meant"
    host.apply({}, None, Override.EMPTY)
    assert host.state() == {}


def test_an_empty_profile_of_an_empty_host_is_nothing_to_do(host: Host) -> None:
    assert not host.plan({})[0]


def test_only_the_plan_that_was_reviewed_is_applied(host: Host) -> None:
    plan, _ = host.plan({"cat": "1.0.0"})
    assert reviewed(plan, plan.digest) is plan
    assert reviewed(plan, None) is plan
    host.server.register_as("cat", "0.1", "elsewhere")
    changed, _ = host.plan({"cat": "1.0.0"})

    with pytest.raises(RefusedError) as caught:
        reviewed(changed, plan.digest)

    assert str(caught.value) == (
        f"the plan is {changed.digest} now, {plan.digest} was reviewed"
    )
    assert caught.value.hint == "run `ms sync plan` again and review the new plan"


def test_planning_twice_gives_the_same_digest(host: Host) -> None:
    models = {"dog": "1.0.0", "cat": "latest"}

    assert host.plan(models)[0].digest == host.plan(models)[0].digest


@pytest.mark.parametrize(
    ("models", "message", "hint"),
    [
        pytest.param(
            {"cat": "3.0"},
            "cat@3.0 is not released in memory://store; it has 1.0.0, 1.10.0",
            "publish it with `ms publish cat`, or correct the host profile",
            id="another version",
        ),
        pytest.param(
            {"bird": "1.0"},
            "bird@1.0 is not released in memory://store; it has no version",
            "publish it with `ms publish bird`, or correct the host profile",
            id="no version",
        ),
        pytest.param(
            {"bird": "latest"},
            "bird@latest is not released in memory://store; it has no version",
            "publish it with `ms publish bird`, or correct the host profile",
            id="latest of none",
        ),
    ],
)
def test_what_is_not_released_is_refused_with_what_is(
    host: Host, models: Mapping[str, str], message: str, hint: str
) -> None:
    plan, desired = host.plan(models)

    assert list(desired.values()) == [Refusal(reason=message, hint=hint)]
    assert [(one.reason, one.hint) for one in plan.refused()] == [(message, hint)]
    assert not plan


def test_a_store_that_is_gone_does_not_hide_behind_an_empty_answer(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.store.fail_at = len(host.store.calls) + 1

    with pytest.raises(OutsideError, match="was told to fail"):
        host.plan({"cat": "1.0.0"})

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_a_server_that_goes_away_is_told_and_the_rest_is_tried(host: Host) -> None:
    def gone(method: str) -> None:
        if method == "register":
            raise OutsideError("the server does not answer", hint="start it")

    host.server.before_call = gone
    recorder = Recorder()

    with pytest.raises(OutsideError, match="2 of 2 models failed: cat, dog"):
        host.apply({"cat": "1.0.0", "dog": "1.0.0"}, recorder)

    shown = {name: str(error) for name, error in recorder.failures.items()}
    assert shown == dict.fromkeys(["cat", "dog"], "the server does not answer")
    host.server.before_call = lambda method: None
    host.apply({"cat": "1.0.0", "dog": "1.0.0"})
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"]), "dog": ("1.0.0", ["1.0.0"])}


def test_the_reason_is_shown_also_when_the_server_cannot_take_the_version_back(
    host: Host,
) -> None:
    def gone(method: str) -> None:
        if method == "unregister":
            raise OutsideError("the server does not answer", hint="start it")

    host.server.script("cat-1.0.0", crashes=True, load_error="no module 'x'")
    host.server.before_call = gone

    assert "no module 'x'" in _failure(host, {"cat": "1.0.0"})


def test_what_cannot_be_loaded_any_more_is_laid_out_anew(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    # As after a restart of the server, which passed over it.
    host.server.unregister("cat", "1.0.0")
    if host.layout is Layout.DIR:
        damaged = host.root / CAT_1.entry / "model-config.yaml"
        damaged.write_text("")
    else:
        damaged = host.root / host.layout.entry(CAT_1)
        damaged.chmod(0o644)
        os.truncate(damaged, damaged.stat().st_size - 100)

    host.apply({"cat": "1.0.0"})

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}
    assert why_unusable(host.root, CAT_1, host.layout) == ""
