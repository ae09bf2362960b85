"""Syncing a host: the old version answers until the new one has proved itself."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fakes.host import Clock, Host, Recorder
from journeys.host.failing import failure
from model_servers.core.entries import Layout
from model_servers.core.guards import Override
from model_servers.core.host import Refusal, wanted_releases
from model_servers.core.names import Ref
from model_servers.core.plan import (
    Drain,
    Install,
    Probe,
    Register,
    SetDefault,
    Unregister,
)
from model_servers.errors import OutsideError, RefusedError
from model_servers.journeys.host.sync import reviewed

CAT_1, CAT_2 = Ref.parse("cat@1.0.0"), Ref.parse("cat@1.10.0")


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


def test_damaged_bytes_leave_the_old_version(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    release = host.sync.releases.find(CAT_2)
    assert release is not None
    whole = host.store.objects[release.key]
    host.store.objects[release.key] = bytes(len(whole))
    host.server.calls.clear()

    assert failure(host, {"cat": "1.10.0"}).startswith("wrong bytes came for ")

    assert host.server.calls == []
    host.store.objects[release.key] = whole
    host.apply({"cat": "1.10.0"})
    assert host.state() == {"cat": ("1.10.0", ["1.10.0"])}


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

    message = failure(host, {"cat": "1.10.0"})

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
