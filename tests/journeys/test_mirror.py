"""Mirrored releases are complete or not there, the same bytes, and never replaced."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from fakes.store import MemoryStore
from fakes.watcher import Quiet
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.passing_archives import PassingArchives
from model_servers.adapters.releases import StoredReleases
from model_servers.adapters.s3_store import S3Store
from model_servers.core.index import Index
from model_servers.core.lifecycle import Notice, State
from model_servers.core.names import Ref, Version
from model_servers.core.objects import Moved
from model_servers.core.release import Release, release_key
from model_servers.core.segments import SEGMENT_MAX_BYTES
from model_servers.errors import (
    ModelServersError,
    OutsideError,
    RefusedError,
    RequestError,
)
from model_servers.journeys.build import Build
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.mirror import Mirror
from model_servers.journeys.publish import Publish
from model_servers.ports import ProbedStore
from servers.s3 import S3Server
from zoo import HANDLER, checkpoint_of, make_model

WEIGHTS_BYTES = 66 * 2**20
"""Three segments, so that some can be missing."""

FEW_BYTES = 2**18
"""A version has fewer beside its weights."""

REFS = ("cat@1.0.0", "cat@1.1.0", "dog@2.0.0")
YANKED = Notice(state=State.YANKED, reason="wrong labels", date="2026-01-02")


class Watcher(Quiet):
    """Watches mirroring and remembers nothing."""

    def fetching(self, release: Release, size_bytes: int) -> Callable[[int], None]:
        return lambda count: None


def publish(
    store: MemoryStore, folder: Path, text: str, handler: str, **files: bytes
) -> None:
    ref = Ref.parse(text)
    files = {f"{name}.pt": body for name, body in files.items()}
    make_model(
        folder,
        ref.name,
        version=ref.version.text,
        files={"handler_model.py": handler, **files},
    )
    build = Build(registry=Checkout(folder), writer=MarWriter())
    journey = Publish(build=build, store=store, releases=StoredReleases(store))
    journey.run([build.recipe(ref.name)], Quiet())


@pytest.fixture
def source(tmp_path: Path) -> MemoryStore:
    store = MemoryStore()
    for text in REFS:
        publish(store, tmp_path / text, text, HANDLER)
    return store


@pytest.fixture
def target() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let archives on their way be in a folder of the test."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def mirror(source: MemoryStore, target: ProbedStore) -> Mirror:
    stored = Path(target.address[7:]) if isinstance(target, LocalStore) else None
    return Mirror(
        source=source,
        source_releases=StoredReleases(source),
        target=target,
        target_releases=StoredReleases(target),
        archives=PassingArchives(Path("on their way"), stored=stored),
    )


def run(source: MemoryStore, target: ProbedStore, *texts: str) -> list[str]:
    """Mirror releases, and name those that were copied."""
    journey = mirror(source, target)
    plan = journey.run(journey.chosen(texts), Watcher())
    return [str(one.ref) for one in plan.new]


def models(store: MemoryStore) -> dict[str, bytes]:
    return {key: body for key, body in store.objects.items() if key != "index.json"}


def documents(store: MemoryStore) -> set[str]:
    """Give the folders of versions that are released."""
    return {key[:-13] for key in store.objects if key.endswith("/release.json")}


def archives(store: MemoryStore) -> set[str]:
    """Give the folders of versions that have an archive."""
    return {key.rpartition("/")[0] for key in store.objects if key.endswith(".mar")}


def entries(store: MemoryStore) -> object:
    return Index.from_bytes(store.objects["index.json"]).entries


def test_everything_is_there_with_the_same_bytes(
    source: MemoryStore, target: MemoryStore
) -> None:
    assert run(source, target) == list(REFS)

    assert models(target) == models(source)
    assert entries(target) == entries(source)


def test_only_what_is_chosen_is_copied(
    source: MemoryStore, target: MemoryStore
) -> None:
    assert run(source, target, "dog", "cat@1.0.0") == ["cat@1.0.0", "dog@2.0.0"]
    assert run(source, target, "cat") == ["cat@1.1.0"]
    assert run(source, target) == []


def test_copying_again_writes_nothing(source: MemoryStore, target: MemoryStore) -> None:
    run(source, target)
    target.calls.clear()

    run(source, target)

    assert [call for call in target.calls if call[0] in ("create", "swap")] == []


def test_a_document_comes_after_its_archive(
    source: MemoryStore, target: MemoryStore
) -> None:
    run(source, target, "dog")

    archive, document = target.written
    assert archive.endswith(".mar")
    assert document == release_key(Ref.parse("dog@2.0.0"))


def test_interrupted_anywhere_it_is_finished_by_the_next_run(
    source: MemoryStore,
) -> None:
    whole = MemoryStore()
    run(source, whole)

    for call in range(1, len(whole.calls) + 1):
        target = MemoryStore(fail_at=call)
        with pytest.raises(OutsideError):
            run(source, target)
        assert documents(target) <= archives(target)
        run(source, target)
        assert models(target) == models(source)
        assert entries(target) == entries(source)


def test_a_damaged_archive_is_not_copied(
    source: MemoryStore, target: MemoryStore
) -> None:
    key = next(key for key in source.objects if key.startswith("models/cat/1.1.0/cat"))
    source.objects[key] = source.objects[key][:-1] + b"?"

    with pytest.raises(OutsideError, match=r"wrong bytes came for the zip's own"):
        run(source, target)

    assert release_key(Ref.parse("cat@1.0.0")) in target.objects
    assert release_key(Ref.parse("cat@1.1.0")) not in target.objects
    assert key not in target.objects


class Counting(MemoryStore):
    """A store that counts the bytes that it gives, and can go away after so many."""

    given_bytes = 0
    most_bytes = 2**60

    def chunks(
        self, key: str, offset: int, length: int, *, token: str | None = None
    ) -> Iterator[bytes]:
        if self.given_bytes + length > self.most_bytes:
            raise OutsideError("the network is gone", hint="run the command again")
        self.given_bytes += length
        return super().chunks(key, offset, length, token=token)


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """The objects of two versions of a model that have the same weights."""
    store, folder = MemoryStore(), tmp_path_factory.mktemp("heavy")
    weights = checkpoint_of(WEIGHTS_BYTES)
    for text, handler in (("cat@1.0.0", HANDLER), ("cat@1.1.0", f"# new\n{HANDLER}")):
        publish(store, folder / text, text, handler, checkpoint=weights)
    return store.objects


@pytest.fixture
def heavy(two_versions: Mapping[str, bytes]) -> Counting:
    """A store with these versions, which counts what it gives."""
    store = Counting()
    store.objects.update(two_versions)
    return store


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_bytes_that_two_versions_share_come_once(
    heavy: Counting, tmp_path: Path, kind: str
) -> None:
    target = LocalStore(tmp_path / "target") if kind == "folder" else MemoryStore()

    run(heavy, target)

    assert heavy.given_bytes < WEIGHTS_BYTES + 2 * FEW_BYTES
    assert_whole(target, "cat@1.0.0", "cat@1.1.0")
    assert list(Path("on their way").iterdir()) == []


def assert_whole(target: ProbedStore, *texts: str) -> None:
    releases = StoredReleases(target)
    for text in texts:
        release = releases.find(Ref.parse(text))
        assert release is not None
        size_bytes = release.archive.size_bytes
        data = target.read_range(release.key, 0, size_bytes)
        assert hashlib.sha256(data).hexdigest() == release.archive.sha256


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_the_target_has_the_bytes_of_an_earlier_run(
    heavy: Counting, tmp_path: Path, kind: str
) -> None:
    target = LocalStore(tmp_path / "target") if kind == "folder" else MemoryStore()
    run(heavy, target, "cat@1.0.0")
    heavy.given_bytes = 0

    run(heavy, target, "cat@1.1.0")

    assert heavy.given_bytes < FEW_BYTES


def test_a_target_in_s3_gets_what_it_lacks_and_what_proves_its_copies(
    heavy: Counting, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = in_s3(moto_server, monkeypatch)
    run(heavy, target, "cat@1.0.0")
    heavy.given_bytes = 0

    run(heavy, target, "cat@1.1.0")

    last_segment_bytes = WEIGHTS_BYTES % SEGMENT_MAX_BYTES
    assert heavy.given_bytes < last_segment_bytes + FEW_BYTES
    assert_whole(target, "cat@1.1.0")


def test_a_target_that_cannot_copy_gets_all_bytes(heavy: Counting) -> None:
    target = MemoryStore(cannot_copy="it cannot")

    run(heavy, target)

    assert_whole(target, "cat@1.0.0", "cat@1.1.0")
    assert list(Path("on their way").iterdir()) == []


def in_s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return S3Store("releases", uuid.uuid4().hex, endpoint_url=server.endpoint_url)


def test_what_has_come_is_not_fetched_again(
    heavy: Counting, target: MemoryStore
) -> None:
    heavy.most_bytes = WEIGHTS_BYTES - FEW_BYTES
    with pytest.raises(OutsideError, match="the network is gone"):
        run(heavy, target, "cat@1.0.0")
    assert target.objects.keys() <= {"index.json"}
    heavy.most_bytes = WEIGHTS_BYTES + FEW_BYTES

    run(heavy, target, "cat@1.0.0")

    assert release_key(Ref.parse("cat@1.0.0")) in target.objects


def test_what_is_left_of_a_release_that_another_machine_copied_is_taken_away(
    heavy: Counting,
    target: MemoryStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heavy.most_bytes = WEIGHTS_BYTES - FEW_BYTES
    with pytest.raises(OutsideError, match="the network is gone"):
        run(heavy, target, "cat@1.0.0")
    heavy.most_bytes = 2**60
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(tmp_path)
        run(heavy, target, "cat@1.0.0")
    assert list(Path("on their way").iterdir()) != []

    run(heavy, target, "cat@1.0.0")

    assert list(Path("on their way").iterdir()) == []


def test_an_archive_that_is_here_is_not_fetched_again(heavy: Counting) -> None:
    class Full(MemoryStore):
        def compose(self, key: str, *arguments: Any, **more: Any) -> Moved:
            raise OutsideError("the store is full", hint="make room")

    with pytest.raises(OutsideError, match="the store is full"):
        run(heavy, Full(), "cat@1.0.0")
    heavy.most_bytes = 0

    assert run(heavy, MemoryStore(), "cat@1.0.0") == ["cat@1.0.0"]


def test_a_version_that_is_there_with_other_bytes_stops_everything(
    source: MemoryStore, target: MemoryStore, tmp_path: Path
) -> None:
    publish(target, tmp_path / "other", "dog@2.0.0", f"# other\n{HANDLER}")
    before = dict(target.objects)

    with pytest.raises(RefusedError, match=r"with other bytes: dog@2\.0\.0"):
        run(source, target)

    assert target.objects == before


def test_a_release_that_has_lost_its_archive_is_mended(
    source: MemoryStore, target: MemoryStore
) -> None:
    run(source, target)
    key = next(key for key in target.objects if key.endswith(".mar"))
    body = target.objects.pop(key)

    run(source, target)

    assert target.objects[key] == body


def test_a_target_that_overwrites_is_refused(source: MemoryStore) -> None:
    target = MemoryStore(overwrites=True)

    with pytest.raises(RefusedError, match="overwrites what is there"):
        run(source, target)

    assert models(target) == {}


def test_notices_go_along_also_later(source: MemoryStore, target: MemoryStore) -> None:
    run(source, target, "cat")
    said = {"cat": {Version.parse("1.0.0"): YANKED}}
    Catalog(store=source, releases=StoredReleases(source)).note(said)

    run(source, target, "cat")

    index = Index.from_bytes(target.objects["index.json"])
    assert index.notice(Ref.parse("cat@1.0.0")) == YANKED
    assert index.notice(Ref.parse("cat@1.1.0")) is None


@pytest.mark.parametrize(
    ("text", "error", "shown"),
    [
        ("owl", RefusedError, "not released in memory://store: owl"),
        ("cat@9.0", RefusedError, "not released in memory://store: cat@9.0"),
        ("cat@one", RequestError, "version 'one' is not"),
        ("../cat", RequestError, "'../cat' cannot name a model"),
    ],
)
def test_what_is_not_released_is_refused(
    source: MemoryStore,
    target: MemoryStore,
    text: str,
    error: type[ModelServersError],
    shown: str,
) -> None:
    with pytest.raises(error, match=re.escape(shown)) as found:
        run(source, target, text)

    assert found.value.hint
    assert target.objects == {}
