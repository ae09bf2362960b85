"""Publishing is complete or not there, can be repeated, and never changes a release."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.store import MemoryStore
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.releases import StoredReleases
from model_servers.core.index import INDEX_KEY, Entry, Index
from model_servers.core.names import Ref
from model_servers.core.objects import Leftover, Moved
from model_servers.core.release import (
    Candidate,
    Release,
    ReleasePlan,
    archive_key,
    release_key,
)
from model_servers.core.reuse import PART_MIN_BYTES, checkpoint_key
from model_servers.errors import OutsideError, RefusedError, RequestError
from model_servers.journeys.build import Build, Recipe
from model_servers.journeys.publish import Publish
from model_servers.ports import ProbedStore as Store
from zoo import HANDLER, make_model

OTHER_HANDLER = f"# changed\n{HANDLER}"
CAT = Ref.parse("cat@1.0.0")
DOG = Ref.parse("dog@2.1.0")
RIVALS = 4
"""So many create a new store's index at once."""


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """Two models: cat@1.0.0 and dog@2.1.0."""
    folder = tmp_path / "registry"
    make_model(folder, "cat")
    make_model(folder, "dog", version="2.1.0")
    return folder


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


class Seen:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.done: list[Ref] = []
        self.bytes: dict[Ref, int] = {}
        self.sizes: dict[Ref, int] = {}

    def uploading(self, release: Release) -> Callable[[int], None]:
        self.bytes[release.ref] = 0

        def on_bytes(count: int) -> None:
            self.bytes[release.ref] += count

        return on_bytes

    def released(self, release: Release, moved: Moved) -> None:
        self.done.append(release.ref)
        self.sizes[release.ref] = release.archive.size_bytes


def _publish(registry: Path, store: Store) -> Publish:
    build = Build(registry=Checkout(registry), writer=MarWriter())
    return Publish(build=build, store=store, releases=StoredReleases(store))


def _recipes(publish: Publish, *names: str) -> list[Recipe]:
    return [publish.build.recipe(name) for name in names or ("cat", "dog")]


def _run(registry: Path, store: Store, *names: str) -> tuple[ReleasePlan, list[Ref]]:
    """Publish, and give the plan and the releases in the order they were done."""
    publish = _publish(registry, store)
    seen = Seen()
    plan = publish.run(_recipes(publish, *names), seen)
    return plan, seen.done


def _assert_whole(store: MemoryStore) -> list[Ref]:
    """Give the releases of a store, each of which must have its archive."""
    releases = StoredReleases(store)
    found = []
    for key in sorted(store.objects):
        if key.endswith("/release.json"):
            _, name, version, _ = key.split("/")
            release = releases.find(Ref.parse(f"{name}@{version}"))
            assert release is not None
            archive = store.objects[release.key]
            assert len(archive) == release.archive.size_bytes
            assert hashlib.sha256(archive).hexdigest() == release.archive.sha256
            found.append(release.ref)
    return found


def _without_index(store: MemoryStore) -> dict[str, bytes]:
    return {key: body for key, body in store.objects.items() if key != INDEX_KEY}


def _listed(store: MemoryStore) -> dict[Ref, Entry]:
    """Give what the index says, which counts its changes beside."""
    return dict(Index.from_bytes(store.objects[INDEX_KEY]).entries)


def _candidate(registry: Path, name: str) -> Candidate:
    return _recipes(_publish(registry, MemoryStore()), name)[0].candidate


def test_what_the_store_lacks_is_released(registry: Path, store: MemoryStore) -> None:
    plan, done = _run(registry, store)

    assert plan == ReleasePlan(
        new=(_candidate(registry, "cat"), _candidate(registry, "dog")),
        unchanged=(),
        conflicts=(),
    )
    assert done == [CAT, DOG]
    assert _assert_whole(store) == [CAT, DOG]
    assert len(_without_index(store)) == 4


def test_the_archive_is_written_before_the_document(
    registry: Path, store: MemoryStore
) -> None:
    _run(registry, store, "cat")

    release = StoredReleases(store).find(CAT)
    assert release is not None
    assert store.written == [
        archive_key(CAT, release.archive.sha256),
        release_key(CAT),
    ]


def test_publishing_again_uploads_nothing(registry: Path, store: MemoryStore) -> None:
    _run(registry, store)
    before = dict(store.objects)
    store.calls.clear()

    plan, done = _run(registry, store)

    assert [candidate.ref for candidate in plan.unchanged] == [CAT, DOG]
    assert (plan.new, plan.conflicts, done) == ((), (), [])
    assert store.written == []
    assert store.objects == before


def test_only_what_is_new_is_built_and_uploaded(
    registry: Path, store: MemoryStore
) -> None:
    _run(registry, store, "cat")
    store.calls.clear()

    plan, done = _run(registry, store)

    assert [candidate.ref for candidate in plan.unchanged] == [CAT]
    assert done == [DOG]
    assert all(key.startswith("models/dog/") for key in store.written)


def test_what_does_not_go_into_the_archive_does_not_count(
    registry: Path, store: MemoryStore
) -> None:
    _run(registry, store, "cat")
    make_model(
        registry,
        "cat",
        files={"README.md": "# cat\n"},
        model={"maintainers": ["@somebody-else"], "summary": "Another text."},
    )

    plan, _ = _run(registry, store, "cat")

    assert [candidate.ref for candidate in plan.unchanged] == [CAT]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"files": {"handler_model.py": OTHER_HANDLER}}, id="code"),
        pytest.param({"files": {"checkpoint.pt": b"other weights"}}, id="weights"),
        pytest.param({"config": {"batchSize": 5}}, id="settings"),
        pytest.param({"files": {"golden/more.yaml": "schema: 1\n"}}, id="golden case"),
    ],
)
def test_other_inputs_under_a_released_version_are_refused_and_nothing_is_written(
    registry: Path, store: MemoryStore, changes: dict[str, object]
) -> None:
    _run(registry, store, "cat")
    before = dict(store.objects)
    make_model(registry, "cat", **changes)  # type: ignore[arg-type]
    store.calls.clear()

    with pytest.raises(RefusedError) as caught:
        _run(registry, store)

    assert str(caught.value) == (
        "already released with other inputs: cat@1.0.0; nothing was written"
    )
    assert caught.value.hint == (
        "raise the version in model.yaml; a released version never changes"
    )
    assert store.written == []
    assert store.objects == before


def test_a_raised_version_stands_beside_the_old_one(
    registry: Path, store: MemoryStore
) -> None:
    _run(registry, store, "cat")
    changed = {"handler_model.py": OTHER_HANDLER}
    make_model(registry, "cat", version="1.0.1", files=changed)

    _run(registry, store, "cat")

    raised = Ref.parse("cat@1.0.1")
    assert _assert_whole(store) == [CAT, raised]
    assert StoredReleases(store).versions("cat") == [CAT.version, raised.version]


def test_after_a_failure_at_any_call_running_again_completes_every_release(
    registry: Path,
) -> None:
    whole = MemoryStore()
    _run(registry, whole)

    for call in range(1, len(whole.calls) + 1):
        store = MemoryStore(fail_at=call)

        with pytest.raises(OutsideError, match="was told to fail"):
            _run(registry, store)

        _assert_whole(store)
        store.fail_at = None
        _run(registry, store)
        assert _without_index(store) == _without_index(whole)
        assert _listed(store) == _listed(whole)


def test_what_was_released_before_a_failure_stays_released(registry: Path) -> None:
    class Full(MemoryStore):
        def compose(self, key: str, *arguments: Any, **more: Any) -> Moved:
            if key.startswith("models/dog/"):
                raise OutsideError("the store is full", hint="make room")
            return super().compose(key, *arguments, **more)

    store = Full()

    with pytest.raises(OutsideError, match="full"):
        _run(registry, store)

    assert _assert_whole(store) == [CAT]


class RacedStore(MemoryStore):
    """A store in which a rival publishes just before our document is created."""

    def __init__(self, rival: Callable[[Store], object]) -> None:
        super().__init__()
        self._rival: Callable[[Store], object] | None = rival

    def create(self, key: str, body: bytes) -> bool:
        rival, self._rival = self._rival, None
        if rival is not None:
            rival(self)
        return super().create(key, body)


def test_of_two_publishers_of_the_same_bytes_both_succeed(registry: Path) -> None:
    store = RacedStore(lambda store: _run(registry, store, "cat"))

    plan, done = _run(registry, store, "cat")

    assert [candidate.ref for candidate in plan.new] == [CAT]
    assert done == [CAT]
    assert _assert_whole(store) == [CAT]
    assert len(_without_index(store)) == 2


def test_of_two_publishers_of_other_bytes_the_second_is_refused(
    registry: Path, tmp_path: Path
) -> None:
    make_model(tmp_path / "rival", "cat", files={"handler_model.py": OTHER_HANDLER})
    store = RacedStore(lambda store: _run(tmp_path / "rival", store, "cat"))
    publish = _publish(registry, store)
    seen = Seen()

    with pytest.raises(RefusedError) as caught:
        publish.run(_recipes(publish, "cat"), seen)

    winner = StoredReleases(store).find(CAT)
    assert winner is not None
    assert str(caught.value).startswith(
        f"cat@1.0.0 was released by another run with archive "
        f"{winner.archive.sha256[:12]}; this one has "
    )
    assert caught.value.hint == "raise the version in model.yaml"
    assert seen.done == []
    assert _assert_whole(store) == [CAT]


def test_a_release_that_vanishes_is_told_as_such(registry: Path) -> None:
    class Forgetful(MemoryStore):
        def create(self, key: str, body: bytes) -> bool:
            return False

    with pytest.raises(OutsideError) as caught:
        _run(registry, Forgetful(), "cat")

    assert str(caught.value) == "cat@1.0.0 is in the store and then it is not"
    assert caught.value.hint


@pytest.mark.parametrize("body", [b"not json", b'{"schema": 1}', b"[]"])
def test_a_damaged_release_stops_the_run_before_anything_is_written(
    registry: Path, store: MemoryStore, body: bytes
) -> None:
    store.objects[release_key(CAT)] = body

    with pytest.raises(OutsideError) as caught:
        _run(registry, store)

    assert str(caught.value).startswith(f"{store.address}/{release_key(CAT)}")
    assert store.written == []


def test_every_byte_of_an_upload_is_reported(
    registry: Path, store: MemoryStore
) -> None:
    publish = _publish(registry, store)
    seen = Seen()

    publish.run(_recipes(publish), seen)

    assert seen.bytes == seen.sizes
    assert set(seen.bytes) == {CAT, DOG}


def test_nothing_stays_behind_on_the_builders_disk(
    registry: Path,
    store: MemoryStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    store.fail_at = 4

    with pytest.raises(OutsideError):
        _run(registry, store)

    assert list(scratch.iterdir()) == []


def test_nothing_to_do_takes_one_request_however_many_releases_there_are(
    registry: Path, store: MemoryStore
) -> None:
    for patch in range(5):
        make_model(registry, "cat", version=f"1.0.{patch}")
        _run(registry, store)
    store.calls.clear()

    _run(registry, store)

    assert store.calls == [("read_movable", INDEX_KEY)]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(None, id="there is none"),
        pytest.param(b"", id="empty"),
        pytest.param(b"{]", id="not JSON"),
        pytest.param(b'{"schema": 1, "generation": 3, "models": [1]}', id="shape"),
        pytest.param(Index(generation=7).to_bytes(), id="it knows of nothing"),
    ],
)
def test_an_index_that_cannot_be_trusted_is_mended_and_decides_nothing(
    registry: Path, store: MemoryStore, damage: bytes | None
) -> None:
    _run(registry, store)
    listed = _listed(store)
    store.objects.pop(INDEX_KEY)
    if damage is not None:
        store.objects[INDEX_KEY] = damage

    plan, done = _run(registry, store)

    assert [candidate.ref for candidate in plan.unchanged] == [CAT, DOG]
    assert done == []
    assert _listed(store) == listed


def test_an_index_that_lists_what_is_not_released_cannot_hide_a_conflict(
    registry: Path, store: MemoryStore
) -> None:
    _run(registry, store)
    index = Index.from_bytes(store.objects[INDEX_KEY])
    stale = {ref: entry for ref, entry in index.entries.items() if ref != CAT}
    store.objects[INDEX_KEY] = replace(index, entries=stale).to_bytes()
    make_model(registry, "cat", files={"handler_model.py": OTHER_HANDLER})

    with pytest.raises(RefusedError, match="other inputs: cat@1"):
        _run(registry, store)


def test_an_index_of_a_newer_version_is_left_alone(
    registry: Path, store: MemoryStore
) -> None:
    store.objects[INDEX_KEY] = b'{"schema": 2}'

    with pytest.raises(RequestError, match="newer model-servers"):
        _run(registry, store)

    assert store.objects == {INDEX_KEY: b'{"schema": 2}'}


def test_a_store_that_overwrites_is_refused(registry: Path) -> None:
    store = MemoryStore(overwrites=True)

    with pytest.raises(RefusedError, match="overwrites what is there") as caught:
        _run(registry, store)

    assert "ms store doctor" in caught.value.hint
    assert store.written == []


class Racy(MemoryStore):
    """A store that looks whether an object is there, and writes it some time later."""

    def __init__(self) -> None:
        super().__init__()
        self._have_looked = threading.Barrier(RIVALS)

    def create(self, key: str, body: bytes) -> bool:
        if key != INDEX_KEY or key in self.objects:
            return super().create(key, body)
        self._have_looked.wait(timeout=30)
        self.objects[key] = body
        return True


def test_a_store_in_which_several_create_one_key_is_refused_each_time(
    registry: Path,
) -> None:
    store = Racy()

    for _ in range(2):
        with pytest.raises(RefusedError, match=f"{RIVALS} that they had created it"):
            _run(registry, store)

    assert store.objects == {}


def test_the_race_is_run_once_in_the_life_of_a_store(
    registry: Path, store: MemoryStore
) -> None:
    _run(registry, store, "cat")
    assert store.calls.count(("create", INDEX_KEY)) == RIVALS + 1
    store.calls.clear()

    _run(registry, store)

    assert store.calls.count(("create", INDEX_KEY)) == 1


def test_what_killed_publishers_left_is_taken_away_and_rivals_are_left_alone(
    registry: Path, store: MemoryStore
) -> None:
    old = Leftover("models/cat/1.0.0/cat.mar", "1", is_abandoned=True)
    rival = Leftover("models/cat/1.0.0/cat.mar", "2", is_abandoned=False)
    store.left = [old, rival]

    _run(registry, store)

    assert store.left == [rival]


LARGE = random.Random(0).randbytes(12 * 2**20)


def test_a_code_only_release_copies_the_weights_inside_the_store(
    registry: Path, store: MemoryStore
) -> None:
    make_model(registry, "cat", files={"checkpoint.pt": LARGE})
    _run(registry, store, "cat")
    make_model(
        registry,
        "cat",
        version="1.0.1",
        files={"checkpoint.pt": LARGE, "handler_model.py": OTHER_HANDLER},
    )

    _run(registry, store, "cat")

    release = StoredReleases(store).find(Ref.parse("cat@1.0.1"))
    assert release is not None
    moved = store.moved[release.key]
    assert moved.copied_bytes == len(LARGE) + 4096
    assert moved.sent_bytes < 110_000
    assert _assert_whole(store) == [CAT, release.ref]


def test_weights_that_are_stored_under_their_digest_are_copied(
    registry: Path, store: MemoryStore
) -> None:
    store.objects[checkpoint_key(hashlib.sha256(LARGE).hexdigest())] = LARGE
    make_model(registry, "cat", files={"checkpoint.pt": LARGE})

    _run(registry, store, "cat")

    release = StoredReleases(store).find(CAT)
    assert release is not None
    assert store.moved[release.key].copied_bytes == len(LARGE) + 4096 - PART_MIN_BYTES
    assert _assert_whole(store) == [CAT]


def test_weights_of_a_release_whose_archive_is_gone_are_sent(
    registry: Path, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path / "store")
    make_model(registry, "cat", files={"checkpoint.pt": LARGE})
    _run(registry, store, "cat")
    release = StoredReleases(store).find(CAT)
    assert release is not None
    store.delete(release.key)
    changed = {"checkpoint.pt": LARGE, "handler_model.py": OTHER_HANDLER}
    make_model(registry, "cat", version="1.0.1", files=changed)

    _run(registry, store, "cat")

    new = StoredReleases(store).find(Ref.parse("cat@1.0.1"))
    assert new is not None
    archive = store.read(new.key)
    assert archive is not None
    assert hashlib.sha256(archive).hexdigest() == new.archive.sha256
