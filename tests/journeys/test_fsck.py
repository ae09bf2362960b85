"""A check finds whatever is not as it was released, goes on, and deletes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from fakes.journal import MemoryJournal
from fakes.store import MemoryStore
from fakes.watcher import Quiet
from model_servers.adapters.channels import read_pointer
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.releases import StoredReleases
from model_servers.adapters.segment_digests import blake3_of
from model_servers.core.channels import Pointer
from model_servers.core.fsck import Fault, Orphan, Report
from model_servers.core.lifecycle import Notice, State
from model_servers.core.names import Ref, Version
from model_servers.core.objects import Leftover
from model_servers.core.release import Release, release_key
from model_servers.core.reuse import checkpoint_key
from model_servers.errors import OutsideError
from model_servers.journeys.build import Build
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.channels import Channels
from model_servers.journeys.fsck import Fsck
from model_servers.journeys.publish import Publish
from zoo import make_model

REFS = ("cat@1.0.0", "cat@1.1.0", "dog@1.0.0", "owl@2.0.0")
WEIGHTS = b"weights" * 100
STABLE = "channels/stable.json"
CHECKPOINT = checkpoint_key(hashlib.sha256(WEIGHTS).hexdigest())


class Seen:
    """Remembers what was looked at, and can end the check in the middle."""

    def __init__(self, *, stop_at: int = 0) -> None:
        self.keys: list[str] = []
        self.faults: list[Fault] = []
        self._stop_at = stop_at

    def checking(self, key: str, size_bytes: int) -> Callable[[int], None]:
        self.keys.append(key)
        if len(self.keys) == self._stop_at:
            raise KeyboardInterrupt
        return lambda count: None

    def found(self, fault: Fault) -> None:
        self.faults.append(fault)


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    """A store with four releases and a checkpoint, all as they should be."""
    store = MemoryStore()
    for text in REFS:
        ref = Ref.parse(text)
        make_model(tmp_path / text, ref.name, version=str(ref.version))
        build = Build(registry=Checkout(tmp_path / text), writer=MarWriter())
        publish = Publish(build=build, store=store, releases=StoredReleases(store))
        publish.run([build.recipe(ref.name)], Quiet())
    store.objects[CHECKPOINT] = WEIGHTS
    return store


@pytest.fixture
def fsck(store: MemoryStore) -> Fsck:
    releases = StoredReleases(store)
    catalog = Catalog(store=store, releases=releases)
    channels = Channels(store=store, catalog=catalog, read_pointer=read_pointer)
    return Fsck(
        store=store,
        releases=releases,
        channels=channels,
        journal=MemoryJournal(),
        blake3_of=blake3_of,
    )


def release(store: MemoryStore, text: str) -> Release:
    found = StoredReleases(store).find(Ref.parse(text))
    assert found is not None
    return found


def run(fsck: Fsck, sample: int | None = None) -> Report:
    return fsck.run(Seen(), sample=sample)


def flip(store: MemoryStore, key: str, offset: int) -> None:
    data = bytearray(store.objects[key])
    data[offset] ^= 1
    store.objects[key] = bytes(data)


def test_a_store_that_is_as_it_was_released_has_no_faults(
    store: MemoryStore, fsck: Fsck
) -> None:
    before = dict(store.objects)

    report = run(fsck)

    archives = [data for key, data in before.items() if key.endswith(".mar")]
    assert report == Report(
        checked=5,
        remaining=0,
        hashed_bytes=sum(map(len, archives)) + len(WEIGHTS),
        faults=(),
        orphans=(),
        leftovers=(),
        index_was_rebuilt=False,
    )
    assert store.objects == before


def test_one_flipped_bit_is_found_and_its_place_is_named(
    store: MemoryStore, fsck: Fsck
) -> None:
    cat = release(store, "cat@1.1.0")
    flip(store, cat.key, 4096)

    (fault,) = run(fsck).faults

    assert fault.key == cat.key
    assert f"expected {cat.archive.sha256}" in fault.message
    assert fault.message.endswith("damaged: checkpoint.pt, bytes 4096 to 6144")


def test_a_flipped_bit_that_no_member_has_is_found_too(
    store: MemoryStore, fsck: Fsck
) -> None:
    flip(store, release(store, "cat@1.1.0").key, 1)

    (fault,) = run(fsck).faults

    assert fault.message.endswith("damaged: between the members")


def _cut(store: MemoryStore) -> str:
    key = release(store, "owl@2.0.0").key
    store.objects[key] = store.objects[key][:-1]
    return key


def _lose(store: MemoryStore) -> str:
    key = release(store, "owl@2.0.0").key
    del store.objects[key]
    return key


def _spoil(store: MemoryStore) -> str:
    key = release_key(Ref.parse("owl@2.0.0"))
    store.objects[key] = b"{"
    return key


def _swap(store: MemoryStore) -> str:
    key = release_key(Ref.parse("owl@2.0.0"))
    store.objects[key] = release(store, "dog@1.0.0").to_bytes()
    return key


def _spoil_weights(store: MemoryStore) -> str:
    flip(store, CHECKPOINT, 7)
    return CHECKPOINT


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut, "bytes, expected"),
        (_lose, "it is not there, and a release needs it"),
        (_spoil, "is not JSON"),
        (_swap, "it says that it is dog@1.0.0"),
        (_spoil_weights, "its sha256 is"),
    ],
)
def test_whatever_is_damaged_is_named(
    store: MemoryStore, fsck: Fsck, damage: Callable[[MemoryStore], str], message: str
) -> None:
    key = damage(store)
    seen = Seen()

    report = fsck.run(seen)

    assert [one.key for one in report.faults if one.key != "index.json"] == [key]
    assert message in report.faults[0].message
    assert report.orphans == ()
    assert seen.faults == list(report.faults)


def test_what_nothing_refers_to_is_told_and_stays(
    store: MemoryStore, fsck: Fsck
) -> None:
    store.objects["models/cat/1.0.0/cat-1.0.0-0123456789abcdef.mar"] = b"lost race"
    store.objects["notes.txt"] = b"hello"
    store.objects["channels/stable.txt"] = b"cat 1.0.0"
    store.left = [Leftover("models/x.mar", "1", is_abandoned=True)]

    report = run(fsck)

    assert report.orphans == (
        Orphan("channels/stable.txt", 9),
        Orphan("models/cat/1.0.0/cat-1.0.0-0123456789abcdef.mar", 9),
        Orphan("notes.txt", 5),
    )
    assert report.leftovers == tuple(store.left)
    assert "notes.txt" in store.objects


def point(store: MemoryStore, **models: str) -> None:
    """Let the channel stable point to versions."""
    versions = {name: Version.parse(text) for name, text in models.items()}
    pointer = Pointer(channel="stable", generation=1, models=versions)
    store.objects[STABLE] = pointer.to_bytes()


def test_a_channel_to_released_versions_is_right(
    store: MemoryStore, fsck: Fsck
) -> None:
    point(store, cat="1.1.0", dog="1.0.0")

    assert run(fsck).faults == ()


def _gone(store: MemoryStore) -> None:
    point(store, cat="1.1.0", dog="3.0")


def _yanked(store: MemoryStore) -> None:
    point(store, cat="1.1.0", dog="1.0.0")
    notice = Notice(state=State.YANKED, reason="wrong labels", date="2026-01-02")
    catalog = Catalog(store=store, releases=StoredReleases(store))
    catalog.note({"dog": {Version.parse("1.0.0"): notice}})


def _unreadable(store: MemoryStore) -> None:
    point(store, dog="1.0.0")
    store.objects[release_key(Ref.parse("dog@1.0.0"))] = b"{"


def _hollow(store: MemoryStore) -> None:
    point(store, dog="1.0.0")
    del store.objects[release(store, "dog@1.0.0").key]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_gone, "it points to dog@3.0, which is not released"),
        (_yanked, "it points to dog@1.0.0, which is yanked"),
        (_unreadable, "it points to dog@1.0.0, whose document is damaged"),
        (_hollow, "it points to dog@1.0.0, whose archive is not there"),
    ],
)
def test_a_channel_to_what_no_host_should_fetch_is_named(
    store: MemoryStore, fsck: Fsck, spoil: Callable[[MemoryStore], None], message: str
) -> None:
    spoil(store)
    before = store.objects[STABLE]

    (fault,) = (one for one in run(fsck, sample=1).faults if one.key == STABLE)

    assert fault.message.startswith(message)
    assert fault.fix == "ms promote dog VERSION stable, then ms channels publish"
    assert store.objects[STABLE] == before


@pytest.mark.parametrize(
    ("body", "message", "fix"),
    [
        (b"{", "is not JSON", "restore the file"),
        (b'{"schema":1,"channel":"stable"}', "generation", "restore the file"),
        (b'{"schema":2}', "schema is 2", "newer model-servers"),
        (
            Pointer(channel="canary", generation=1).to_bytes(),
            "says that it is the channel canary",
            "restore the file",
        ),
    ],
)
def test_a_channel_that_cannot_be_read_is_named(
    store: MemoryStore, fsck: Fsck, body: bytes, message: str, fix: str
) -> None:
    store.objects[STABLE] = body

    (fault,) = run(fsck).faults

    assert fault.key == STABLE
    assert message in fault.message
    assert fix in fault.fix


def test_what_is_released_while_the_store_is_checked_is_no_fault(
    store: MemoryStore, fsck: Fsck
) -> None:
    point(store, dog="1.0.0")
    key = release_key(Ref.parse("dog@1.0.0"))
    late = store.objects.pop(key)

    class Publisher(Seen):
        """Somebody publishes while the first object is read."""

        def checking(self, at: str, size_bytes: int) -> Callable[[int], None]:
            store.objects[key] = late
            return super().checking(at, size_bytes)

    assert [one for one in fsck.run(Publisher()).faults if one.key == STABLE] == []


def test_a_wrong_index_is_made_anew(store: MemoryStore, fsck: Fsck) -> None:
    right = store.objects.pop("index.json")

    assert run(fsck).index_was_rebuilt
    assert store.objects["index.json"].count(b"archive") == right.count(b"archive")
    assert not run(fsck).index_was_rebuilt


def test_an_interrupted_check_goes_on_and_the_next_starts_again(fsck: Fsck) -> None:
    with pytest.raises(KeyboardInterrupt):
        fsck.run(Seen(stop_at=3))

    rest, again = Seen(), Seen()
    fsck.run(rest)
    fsck.run(again)

    assert len(rest.keys) == 3
    assert len(again.keys) == 5


def test_what_was_wrong_is_looked_at_again(store: MemoryStore, fsck: Fsck) -> None:
    flip(store, release(store, "cat@1.0.0").key, 4096)
    run(fsck)
    flip(store, release(store, "cat@1.0.0").key, 4096)
    seen = Seen()

    assert fsck.run(seen).faults == ()
    assert seen.keys == [release(store, "cat@1.0.0").key]


def test_samples_reach_everything_before_they_look_at_anything_twice(
    fsck: Fsck,
) -> None:
    seen = Seen()

    reports = [fsck.run(seen, sample=2) for _ in range(3)]

    assert [(one.checked, one.remaining) for one in reports] == [(2, 3)] * 3
    assert len(set(seen.keys)) == 5


def test_a_store_that_is_away_is_no_fault_of_what_is_in_it(
    store: MemoryStore, fsck: Fsck
) -> None:
    for call in range(1, 40):
        store.fail_at = len(store.calls) + call
        with suppress(OutsideError):
            assert run(fsck).faults == ()


def test_a_journal_of_another_time_is_no_obstacle(fsck: Fsck) -> None:
    fsck.journal.replace(["nonsense", "1 models/gone/1.0/release.json", "x y z", ""])

    assert run(fsck).checked == 5
