"""What is served otherwise than it should be comes back."""

from __future__ import annotations

import os

from fakes.host import Host
from model_servers.adapters.entries import why_unusable
from model_servers.core.entries import Layout
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
