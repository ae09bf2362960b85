"""What a profile means: channels, versions, pins, and the host's own memory."""

from __future__ import annotations

import pytest

from fakes.host import Host
from model_servers.core.guards import Override
from model_servers.core.host import Refusal, Wanted, wanted_releases
from model_servers.core.memory import Memory
from model_servers.core.names import Ref, Version
from model_servers.core.profile import Update
from model_servers.errors import OutsideError, RefusedError

STABLE = {"cat": "stable"}


def _serves(host: Host, name: str = "cat") -> list[str]:
    """List the versions of a model on the server, the default first."""
    served = sorted(host.server.describe(name), key=lambda one: not one.is_default)
    return [one.version for one in served]


def _refusal(host: Host, *allow: Override) -> Refusal:
    plan, desired = host.plan(STABLE, *allow)
    refusal = desired["cat"]
    assert isinstance(refusal, Refusal)
    assert [one.reason for one in plan.refused()] == [refusal.reason]
    return refusal


def test_a_host_follows_a_channel(host: Host) -> None:
    host.point("stable", cat="1.0.0")
    host.apply(STABLE)
    assert _serves(host) == ["1.0.0"]
    host.point("stable", cat="1.10.0")

    plan, _ = host.plan(STABLE)
    host.apply(STABLE)

    assert [(one.before, one.after, one.why) for one in plan.changes] == [
        ("1.0.0", "1.10.0", "stable")
    ]
    assert _serves(host) == ["1.10.0"]


def test_a_channel_that_goes_back_takes_the_host_back(host: Host) -> None:
    host.point("stable", cat="1.10.0")
    host.apply(STABLE)
    host.point("stable", cat="1.0.0")

    host.apply(STABLE)

    assert _serves(host) == ["1.0.0"]


def test_an_older_generation_of_a_channel_is_refused(host: Host) -> None:
    host.point("stable", cat="1.0.0")
    older = host.store.objects["channels/stable.json"]
    host.point("stable", cat="1.10.0")
    host.apply(STABLE)
    host.store.objects["channels/stable.json"] = older

    refusal = _refusal(host)

    assert refusal == Refusal(
        reason="the channel stable is at generation 1 in memory://store, this host "
        "has seen 2",
        hint="find out whether the store was set back or is another one; "
        "add --allow-older-channels if that is meant",
    )
    host.apply(STABLE)
    assert _serves(host) == ["1.10.0"]


def test_an_older_generation_can_be_meant(host: Host) -> None:
    host.point("stable", cat="1.0.0")
    older = host.store.objects["channels/stable.json"]
    host.point("stable", cat="1.10.0")
    host.apply(STABLE)
    host.store.objects["channels/stable.json"] = older

    host.apply(STABLE, None, Override.OLDER_CHANNELS)

    assert _serves(host) == ["1.0.0"]
    host.apply(STABLE)
    assert _serves(host) == ["1.0.0"]


def test_a_plan_remembers_nothing(host: Host) -> None:
    host.point("stable", cat="1.0.0")

    host.plan(STABLE)

    assert host.memory.read() == Memory()
    assert list(host.root.iterdir()) == []


def test_a_channel_that_is_not_there_is_refused(host: Host) -> None:
    assert _refusal(host).reason == "there is no channel stable in memory://store"


@pytest.mark.parametrize("wanted", ["1.0.0", "latest", "stable"])
def test_a_name_that_the_store_lacks_is_told_the_one_that_was_meant(
    host: Host, wanted: str
) -> None:
    host.publish(Ref.parse("resnet18@1.0.0"))
    host.point("stable", resnet18="1.0.0")

    desired = host.resolve({"resnet_18": wanted, "cat": "7.0", "zebra": "1.0"}).desired

    hints = {
        name: one.hint for name, one in desired.items() if isinstance(one, Refusal)
    }
    assert hints == {
        "resnet_18": "did you mean resnet18? correct the host profile",
        "cat": "publish it with `ms publish cat`, or correct the host profile",
        "zebra": "publish it with `ms publish zebra`, or correct the host profile",
    }


def test_a_channel_that_does_not_point_to_the_model_is_refused(host: Host) -> None:
    host.point("stable", dog="1.0.0")

    assert _refusal(host).reason == (
        "the channel stable does not point to any version of cat"
    )


def test_what_one_model_asks_in_vain_stops_no_other(host: Host) -> None:
    host.apply({"cat": "1.0.0"})

    host.apply({"cat": "9.9", "dog": "1.0.0"})

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"]), "dog": ("1.0.0", ["1.0.0"])}


def test_several_versions_are_served_and_one_is_the_default(host: Host) -> None:
    host.point("canary", cat="1.10.0")
    models = {"cat": {"default": "1.0.0", "also": ["canary", "1.0.0"]}}

    host.apply(models)

    assert _serves(host) == ["1.0.0", "1.10.0"]
    assert not host.plan(models)[0]
    host.apply({"cat": {"default": "1.10.0", "also": ["1.0.0"]}})
    assert _serves(host) == ["1.10.0", "1.0.0"]
    host.apply({"cat": "1.10.0"})
    assert _serves(host) == ["1.10.0"]


def test_a_model_has_its_own_policy_or_the_hosts(host: Host) -> None:
    models = {"cat": {"default": "latest", "update": "resource"}, "dog": "latest"}

    desired = host.resolve(models).desired

    assert {
        name: one.update for name, one in desired.items() if isinstance(one, Wanted)
    } == {"cat": Update.RESOURCE, "dog": Update.AUTO}


def test_the_store_is_asked_as_often_for_many_models_as_for_one(host: Host) -> None:
    host.point("stable", cat="1.10.0", dog="1.0.0")
    host.apply({"cat": "stable", "dog": "stable"})

    def asked(*names: str) -> list[tuple[str, str]]:
        host.store.calls.clear()
        assert not host.plan(dict.fromkeys(names, "stable"), Override.EMPTY)[0]
        return list(host.store.calls)

    both = asked("cat", "dog")

    assert both == [
        ("read_movable", "index.json"),
        ("read_movable", "channels/stable.json"),
    ]


def test_another_archive_of_a_version_on_the_host_is_seen(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.store.objects["index.json"] = host.store.objects["index.json"].replace(
        _sha256(host, "cat@1.0.0").encode(), b"0" * 64
    )
    host.store.calls.clear()

    host.plan({"cat": "1.0.0"})

    assert ("read", "models/cat/1.0.0/release.json") in host.store.calls


def _sha256(host: Host, ref: str) -> str:
    release = host.model_store.release(Ref.parse(ref))
    assert release is not None
    return release.archive.sha256


def test_a_pin_stands_above_the_profile(host: Host) -> None:
    host.apply({"cat": "latest"})
    host.sync.diary.pin(Ref.parse("cat@1.0.0"), why="the labels")

    plan, _ = host.plan({"cat": "latest"})
    host.apply({"cat": "latest"})

    (change,) = plan.changes
    assert change.why.startswith("pinned by ann@host on ")
    assert change.why.endswith(": the labels")
    assert _serves(host) == ["1.0.0"]
    assert not host.plan({"cat": "latest"})[0]


def test_a_pin_to_what_nobody_has_released_says_that_it_is_one(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    host.sync.diary.pin(Ref.parse("cat@9.9"), why="a slip")

    (refused,) = host.plan({"cat": "1.0.0"})[0].refused()

    assert refused.reason.startswith("cat is pinned by ann@host on ")
    assert ": a slip; cat@9.9 is not released in memory://store" in refused.reason
    assert refused.hint.endswith("; or `ms sync unpin cat`")
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_a_pin_after_a_rollback_is_lifted_by_a_newer_version(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    bad = Version.parse("1.10.0")
    host.sync.diary.pin(Ref.parse("cat@1.0.0"), why="slow", bad=bad)
    host.apply({"cat": "latest"})
    assert _serves(host) == ["1.0.0"]
    host.publish(Ref.parse("cat@1.11.0"))

    host.apply({"cat": "latest"})

    assert _serves(host) == ["1.11.0"]
    assert host.memory.read().pins == {}
    assert [
        (one.what, one.model, one.before)
        for one in host.memory.events()
        if one.what == "unpinned"
    ] == [("unpinned", "cat", "1.0.0")]


def test_a_newer_version_that_fails_lifts_no_pin(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    bad = Version.parse("1.10.0")
    host.sync.diary.pin(Ref.parse("cat@1.0.0"), why="slow", bad=bad)
    host.publish(Ref.parse("cat@1.11.0"))
    host.server.script("cat-1.11.0", crashes=True, load_error="broken")

    with pytest.raises(OutsideError, match="1 of 1 models failed: cat"):
        host.apply({"cat": "latest"})

    # Else the next sync would bring the bad one back, once 1.11.0 is yanked.
    assert host.memory.read().pins["cat"].bad == bad
    assert _serves(host) == ["1.0.0"]


def test_a_pin_needs_no_channel(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    bad = Version.parse("1.10.0")
    host.sync.diary.pin(Ref.parse("cat@1.0.0"), why="", bad=bad)
    host.server.unregister("cat", "1.0.0")

    host.apply(STABLE)

    assert _serves(host) == ["1.0.0"]


def test_a_pin_that_somebody_set_is_lifted_by_nothing(host: Host) -> None:
    host.sync.diary.pin(Ref.parse("cat@1.0.0"), why="")

    desired = host.resolve({"cat": "latest"}).desired

    assert [str(ref) for ref in wanted_releases(desired)] == ["cat@1.0.0"]


def test_a_sharply_shrunken_profile_is_refused(host: Host) -> None:
    for name in ("bird", "fish"):
        host.publish(Ref.parse(f"{name}@1.0"))
    names = dict.fromkeys(["bird", "cat", "dog", "fish"], "latest")
    host.apply(names)

    with pytest.raises(RefusedError) as caught:
        host.plan({"cat": "latest"})

    assert str(caught.value) == (
        "3 of 4 models would go (bird, dog, fish); the policy allows a share of 0.5"
    )
    assert caught.value.hint == "add --allow-large-change if that is meant"
    assert len(host.plan({"cat": "latest"}, Override.LARGE_CHANGE)[0].pending()) == 3
    assert host.plan({"cat": "latest", "dog": "latest"})[0]


def test_a_damaged_memory_stops_a_sync_and_says_what_to_do(host: Host) -> None:
    host.apply({"cat": "1.0.0"})
    path = host.root / ".model-servers" / "host" / "memory.json"
    path.write_text("{}")

    with pytest.raises(OutsideError, match=r"memory\.json is damaged") as caught:
        host.plan({"cat": "1.0.0"})

    assert "remove it" in caught.value.hint
