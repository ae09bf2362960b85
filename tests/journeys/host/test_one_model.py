"""What the store cannot give for one model stops no other, and takes nothing down."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from fakes.host import Host, Models, Recorder
from model_servers.core.changes import Plan
from model_servers.core.channels import channel_key
from model_servers.core.entries import Layout
from model_servers.core.index import INDEX_KEY
from model_servers.core.names import Ref, Version
from model_servers.core.profile import WantedModel
from model_servers.core.release import release_key
from model_servers.errors import OutsideError

pytestmark = pytest.mark.parametrize("layout", [Layout.DIR], indirect=True)

CAT, DOG = Ref.parse("cat@1.10.0"), Ref.parse("dog@1.0.0")
ASKED: Models = {"cat": "canary", "dog": "stable"}
NO_ANSWER = "the store memory://store answered InternalError"
DOCTOR = "`ms store doctor` tells what this store can do"
RESTORE = "the file is damaged; restore it from a copy of the store"


@pytest.fixture
def host(host: Host) -> Host:
    """A host that serves cat@1.0.0; it is to get cat@1.10.0 and dog@1.0.0."""
    host.point("canary", cat="1.0.0")
    host.point("stable", dog="1.0.0")
    host.apply({"cat": "canary"})
    host.point("canary", cat="1.10.0")
    return host


def _synced(host: Host, models: Models = ASKED) -> Plan:
    """Plan and apply as `ms sync apply` does; give the plan."""
    wanted = {name: WantedModel.of(one) for name, one in models.items()}
    found = host.planning.run(wanted, allow=())
    host.sync.apply(found.plan, found.resolved, Recorder())
    return found.plan


def _fails(host: Host, *keys: str) -> None:
    host.store.fails = lambda method, key: key in keys


def _archive(host: Host) -> str:
    [key] = (
        key for key in host.store.objects if key.endswith(".mar") and "1.10" in key
    )
    return key


def _document(host: Host, key: str, **changes: object) -> bytes:
    return json.dumps({**json.loads(host.store.objects[key]), **changes}).encode()


def _other_archive(host: Host) -> None:
    data = host.store.objects[_archive(host)]
    host.store.objects[_archive(host)] = bytes(byte ^ 1 for byte in data)


def _replaced(key: str, **changes: object) -> Callable[[Host], None]:
    def replace(host: Host) -> None:
        host.store.objects[key] = _document(host, key, **changes)

    return replace


def _garbled(key: str) -> Callable[[Host], None]:
    def garble(host: Host) -> None:
        host.store.objects[key] = b"\xff<html>"

    return garble


def _another_release(host: Host) -> None:
    host.store.objects[release_key(CAT)] = host.store.objects[release_key(DOG)]


@pytest.mark.parametrize(
    ("breaks", "reason", "hint"),
    [
        pytest.param(
            lambda host: _fails(host, channel_key("canary")),
            f"the channel canary cannot be read: {NO_ANSWER}",
            DOCTOR,
            id="channel: no answer",
        ),
        pytest.param(
            _garbled(channel_key("canary")),
            "the channel canary cannot be read: memory://store/channels/canary.json is "
            "not JSON: ",
            "restore the file from a copy of the store",
            id="channel: other bytes",
        ),
        pytest.param(
            lambda host: host.store.delete(channel_key("canary")),
            "the channel canary is at generation 0 in memory://store, this host has "
            "seen 1",
            "find out whether the store was set back or is another one; ",
            id="channel: gone",
        ),
        pytest.param(
            _replaced(channel_key("canary"), schema=2),
            "the channel canary cannot be read: memory://store/channels/canary.json: "
            "schema is 2",
            "install a newer model-servers",
            id="channel: too new",
        ),
        pytest.param(
            lambda host: _fails(host, release_key(CAT)),
            f"cat@1.10.0 cannot be read: {NO_ANSWER}",
            DOCTOR,
            id="release: no answer",
        ),
        pytest.param(
            _garbled(release_key(CAT)),
            "cat@1.10.0 cannot be read: memory://store/models/cat/1.10.0/release.json "
            "is not JSON: ",
            RESTORE,
            id="release: other bytes",
        ),
        pytest.param(
            lambda host: host.store.delete(release_key(CAT)),
            "cat@canary is not released in memory://store; it has 1.0.0",
            "publish it with `ms publish cat`, or correct the host profile",
            id="release: gone",
        ),
        pytest.param(
            _another_release,
            "the release.json of cat@1.10.0 says that it is dog@1.0.0",
            "`ms fsck` checks what the store holds",
            id="release: another one's",
        ),
        pytest.param(
            _replaced(release_key(CAT), schema=2),
            "cat@1.10.0 cannot be read: memory://store/models/cat/1.10.0/release.json: "
            "schema is 2",
            "install a newer model-servers",
            id="release: too new",
        ),
        pytest.param(
            lambda host: _fails(host, _archive(host)),
            f"the model config of cat@1.10.0 cannot be read: {NO_ANSWER}",
            DOCTOR,
            id="archive: no answer",
        ),
        pytest.param(
            _other_archive,
            "the model config of cat@1.10.0 cannot be read: the store gives other "
            "bytes for MAR-INF/MANIFEST.json of cat@1.10.0 than were released",
            "run the command again; `ms fsck` checks what the store holds",
            id="archive: other bytes",
        ),
        pytest.param(
            lambda host: host.store.delete(_archive(host)),
            "the model config of cat@1.10.0 cannot be read: memory://store/models/cat/",
            "restore it from a copy of the store, or publish it again",
            id="archive: gone",
        ),
    ],
)
def test_one_model_is_refused_and_the_other_comes(
    host: Host, breaks: Callable[[Host], None], reason: str, hint: str
) -> None:
    breaks(host)

    plan = _synced(host)

    [refused] = plan.refused()
    assert (refused.name, refused.after) == ("cat", "1.0.0")
    assert refused.reason.startswith(reason)
    assert refused.hint.startswith(hint)
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"]), "dog": ("1.0.0", ["1.0.0"])}


def test_a_record_that_rotted_on_the_disk_is_read_in_the_store(host: Host) -> None:
    _damage_record(host)

    plan = _synced(host, {**ASKED, "cat": "1.0.0"})

    assert plan.refused() == []
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"]), "dog": ("1.0.0", ["1.0.0"])}


def test_a_record_that_nobody_has_refuses_its_model_alone(host: Host) -> None:
    _damage_record(host)
    _fails(host, "models/cat/1.0.0/release.json")

    plan = _synced(host, {**ASKED, "cat": "1.0.0"})

    [refused] = plan.refused()
    assert refused.reason == f"cat@1.0.0 cannot be read: {NO_ANSWER}"
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"]), "dog": ("1.0.0", ["1.0.0"])}


def _damage_record(host: Host) -> None:
    [record] = (host.root / ".model-servers" / "trees").glob("*.json")
    record.chmod(0o644)
    record.write_text("{")


def test_a_list_that_cannot_be_had_refuses_the_model_that_asks_for_it(
    host: Host,
) -> None:
    _fails(host, "models/bird/")

    plan = _synced(host, {**ASKED, "bird": "latest"})

    [refused] = plan.refused()
    assert refused.reason == (
        f"the list of versions of bird cannot be read: {NO_ANSWER}"
    )
    assert host.server.default("cat") == "1.10.0"


def test_a_version_beside_the_default_that_cannot_be_read_changes_nothing(
    host: Host,
) -> None:
    _fails(host, release_key(CAT))

    plan = _synced(host, {"cat": {"default": "1.0.0", "also": ["canary"]}})

    assert [change.name for change in plan.refused()] == ["cat"]
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}


def test_what_is_pinned_does_not_wait_for_its_channel(host: Host) -> None:
    ref = Ref.parse("cat@1.0.0")
    host.sync.diary.pin(ref, why="slow", bad=Version.parse("1.9.0"))
    _fails(host, channel_key("canary"))

    plan = _synced(host)

    assert plan.refused() == []
    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_what_was_seen_of_a_channel_is_not_forgotten_while_it_cannot_be_read(
    host: Host,
) -> None:
    _fails(host, channel_key("canary"))

    _synced(host)

    assert host.memory.read().generations == {
        "memory://store": {"canary": 1, "stable": 1}
    }


def test_it_comes_once_the_store_can_give_it(host: Host) -> None:
    _fails(host, release_key(CAT))
    _synced(host)
    _fails(host)

    _synced(host)

    assert host.state()["cat"] == ("1.10.0", ["1.10.0"])


def test_a_store_that_has_lost_its_index_refuses_one_model_too(host: Host) -> None:
    host.store.delete(INDEX_KEY)
    _fails(host, release_key(CAT))

    plan = _synced(host)

    assert [change.name for change in plan.refused()] == ["cat"]
    assert host.state()["dog"] == ("1.0.0", ["1.0.0"])


def test_what_is_no_store_is_one_error_for_all(host: Host) -> None:
    host.store.objects.clear()
    _fails(host, "models/dog/")

    with pytest.raises(OutsideError, match=NO_ANSWER):
        _synced(host, {"cat": "latest", "dog": "latest"})


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param(0, id="never"),
        pytest.param(1, id="no more after the index"),
        pytest.param(3, id="no more after the channels"),
        pytest.param(5, id="no more after the releases"),
    ],
)
def test_a_store_that_gives_nothing_is_one_error_for_all(
    host: Host, answers: int
) -> None:
    host.store.calls.clear()
    host.store.fails = lambda method, key: len(host.store.calls) > answers

    with pytest.raises(OutsideError) as caught:
        _synced(host)

    assert (str(caught.value), caught.value.hint) == (NO_ANSWER, DOCTOR)
    # Each question in vain may take minutes; those of the two models go together.
    assert len(host.store.calls) <= answers + 2 * 2
    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}
