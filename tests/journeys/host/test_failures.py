"""Versions that cannot be loaded or answer wrongly: the old one stays."""

from __future__ import annotations

import pytest

from fakes.host import Clock, Host, Recorder
from journeys.host.failing import failure
from model_servers.core.names import Ref
from model_servers.errors import OutsideError

CAT_1, CAT_2 = Ref.parse("cat@1.0.0"), Ref.parse("cat@1.10.0")


def test_a_wrong_golden_answer_leaves_the_old_version(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.script("cat-1.10.0", answer=lambda request: (200, b"[1, 3]"))
    host.server.calls.clear()

    message = failure(host, {"cat": "1.10.0"})

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

    message = failure(host, {"cat": "1.0.0"})

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

    message = failure(host, {"cat": "1.10.0"})

    assert message == f"cat@1.10.0 cannot be loaded: {reason}"
    assert clock.now_s - before_s < 5
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_an_old_load_error_is_forgotten_at_a_new_try(host: Host) -> None:
    host.server.script("cat-1.0.0", crashes=True, load_error="no GPU")
    assert failure(host, {"cat": "1.0.0"}).endswith(": no GPU")
    host.server.script("cat-1.0.0", ready_after=3)

    host.apply({"cat": "1.0.0"})

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_workers_that_crash_without_a_word_are_given_up(
    host: Host, clock: Clock
) -> None:
    host.server.script("cat-1.0.0", crashes=True)
    before_s = clock.now_s

    message = failure(host, {"cat": "1.0.0"})

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

    message = failure(host, {"cat": "2.0.0"})

    assert message == "cat@2.0.0 was not ready within 75 s"
    assert 75 <= clock.now_s - before_s < 80
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_settings_that_torchserve_ignores_are_told(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.script(
        "cat-1.10.0", ignores={"maxBatchDelay": 100, "responseTimeout": 120}
    )

    message = failure(host, {"cat": "1.10.0"})

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


def test_a_version_that_answered_before_stays_when_it_answers_wrongly_later(
    host: Host,
) -> None:
    host.apply({"cat": "1.0.0"})
    host.server.kill_workers("cat", "1.0.0")
    host.server.script("cat-1.0.0", answer=lambda request: (200, b"[1, 3]"))

    failure(host, {"cat": "1.0.0"})

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

    assert "no module 'x'" in failure(host, {"cat": "1.0.0"})
