"""What is served otherwise than it should be comes back."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from fakes.host import Host, Models
from journeys.host.failing import failure
from model_servers.adapters.entries import why_unusable
from model_servers.core.entries import Layout
from model_servers.core.host import ServedVersion
from model_servers.core.names import Ref
from model_servers.core.plan import Probe, Register, Revive

CAT_1, CAT_2 = Ref.parse("cat@1.0.0"), Ref.parse("cat@1.10.0")


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


def _one_of_two_answers(host: Host, until: Callable[[], bool]) -> None:
    """Let one worker be seen to start, until something happens."""
    host.apply({"cat": {"default": "1.0.0", "workers": 2}})
    describe = host.server.describe

    def seen(name: str) -> tuple[ServedVersion, ...]:
        found = describe(name)
        return found if until() else tuple(replace(x, workers_ready=1) for x in found)

    host.server.describe = seen  # type: ignore[method-assign]
    host.server.calls.clear()


def test_workers_that_answer_do_not_end_for_one_that_torchserve_starts_again(
    host: Host,
) -> None:
    started_s = host.clock.now_s + 20
    _one_of_two_answers(host, lambda: host.clock.now_s > started_s)

    recorder = host.apply({"cat": {"default": "1.0.0", "workers": 2}})

    assert recorder.started == [Revive(CAT_1), Probe(CAT_1)]
    assert host.server.calls == []


def test_a_worker_that_torchserve_has_given_up_comes_with_all_others(
    host: Host,
) -> None:
    none_left = ("scale", "cat", "1.0.0", "0")
    _one_of_two_answers(host, lambda: none_left in host.server.calls)

    host.apply({"cat": {"default": "1.0.0", "workers": 2}})

    assert host.server.calls == [none_left, ("scale", "cat", "1.0.0", "2")]


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


def test_more_workers_that_do_not_come_leave_those_that_answer(host: Host) -> None:
    def asking(workers: int) -> Models:
        return {"cat": {"default": "1.0.0", "workers": workers}}

    def has_room_for_one(method: str) -> None:
        if host.server.calls[-1] == ("scale", "cat", "1.0.0", "3"):
            host.server.kill_workers("cat", "1.0.0")

    host.apply(asking(1))
    host.server.after_call = has_room_for_one
    host.server.calls.clear()

    for _ in range(2):
        assert "was not ready within" in failure(host, asking(3))
        for _ in range(3):  # until the worker is there
            host.server.describe("cat")

    up, down = (("scale", "cat", "1.0.0", count) for count in "31")
    assert host.server.calls == [up, down, up, down]
    host.server.after_call = lambda method: None
    host.apply(asking(3))
    assert host.server.describe("cat")[0].workers == 3


def test_an_old_word_of_a_worker_does_not_stop_more_of_them(host: Host) -> None:
    wanted: Models = {"cat": {"default": "1.0.0", "workers": 1}}
    host.apply(wanted)
    (running,) = (
        host.server.temp.glob("models/*")
        if (host.layout is Layout.MAR)
        else [host.root / "cat-1.0.0"]
    )
    (running / "load-error.txt").write_text("no GPU")

    host.apply({"cat": {"default": "1.0.0", "workers": 2}})

    assert host.server.describe("cat")[0].workers == 2
