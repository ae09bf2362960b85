"""Publishing is complete or not there, can be repeated, and never changes a release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes.store import MemoryStore
from journeys.publishing import (
    CAT,
    DOG,
    OTHER_HANDLER,
    Seen,
    assert_whole,
    candidate_of,
    listed,
    publishing,
    recipes,
    run,
    without_index,
)
from model_servers.adapters.releases import StoredReleases
from model_servers.core.index import INDEX_KEY
from model_servers.core.names import Ref
from model_servers.core.objects import Moved
from model_servers.core.release import ReleasePlan, archive_key, release_key
from model_servers.errors import OutsideError, RefusedError
from zoo import make_model


def test_what_the_store_lacks_is_released(registry: Path, store: MemoryStore) -> None:
    plan, done = run(registry, store)

    assert plan == ReleasePlan(
        new=(candidate_of(registry, "cat"), candidate_of(registry, "dog")),
        unchanged=(),
        conflicts=(),
    )
    assert done == [CAT, DOG]
    assert assert_whole(store) == [CAT, DOG]
    assert len(without_index(store)) == 4


def test_the_archive_is_written_before_the_document(
    registry: Path, store: MemoryStore
) -> None:
    run(registry, store, "cat")

    release = StoredReleases(store).find(CAT)
    assert release is not None
    assert store.written == [
        archive_key(CAT, release.archive.sha256),
        release_key(CAT),
    ]


def test_publishing_again_uploads_nothing(registry: Path, store: MemoryStore) -> None:
    run(registry, store)
    before = dict(store.objects)
    store.calls.clear()

    plan, done = run(registry, store)

    assert [candidate.ref for candidate in plan.unchanged] == [CAT, DOG]
    assert (plan.new, plan.conflicts, done) == ((), (), [])
    assert store.written == []
    assert store.objects == before


def test_only_what_is_new_is_built_and_uploaded(
    registry: Path, store: MemoryStore
) -> None:
    run(registry, store, "cat")
    store.calls.clear()

    plan, done = run(registry, store)

    assert [candidate.ref for candidate in plan.unchanged] == [CAT]
    assert done == [DOG]
    assert all(key.startswith("models/dog/") for key in store.written)


def test_what_does_not_go_into_the_archive_does_not_count(
    registry: Path, store: MemoryStore
) -> None:
    run(registry, store, "cat")
    make_model(
        registry,
        "cat",
        files={"README.md": "# cat\n"},
        model={"maintainers": ["@somebody-else"], "summary": "Another text."},
    )

    plan, _ = run(registry, store, "cat")

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
    run(registry, store, "cat")
    before = dict(store.objects)
    make_model(registry, "cat", **changes)  # type: ignore[arg-type]
    store.calls.clear()

    with pytest.raises(RefusedError) as caught:
        run(registry, store)

    assert str(caught.value) == (
        "already released with other inputs: cat@1.0.0; nothing was written"
    )
    assert caught.value.hint == (
        "a released version never changes; raise it: ms bump cat"
    )
    assert store.written == []
    assert store.objects == before


def test_a_raised_version_stands_beside_the_old_one(
    registry: Path, store: MemoryStore
) -> None:
    run(registry, store, "cat")
    changed = {"handler_model.py": OTHER_HANDLER}
    make_model(registry, "cat", version="1.0.1", files=changed)

    run(registry, store, "cat")

    raised = Ref.parse("cat@1.0.1")
    assert assert_whole(store) == [CAT, raised]
    assert StoredReleases(store).versions("cat") == [CAT.version, raised.version]


def test_after_a_failure_at_any_call_running_again_completes_every_release(
    registry: Path,
) -> None:
    whole = MemoryStore()
    run(registry, whole)

    for call in range(1, len(whole.calls) + 1):
        store = MemoryStore(fail_at=call)

        with pytest.raises(OutsideError, match="was told to fail"):
            run(registry, store)

        assert_whole(store)
        store.fail_at = None
        run(registry, store)
        assert without_index(store) == without_index(whole)
        assert listed(store) == listed(whole)


def test_what_was_released_before_a_failure_stays_released(registry: Path) -> None:
    class Full(MemoryStore):
        def compose(self, key: str, *arguments: Any, **more: Any) -> Moved:
            if key.startswith("models/dog/"):
                raise OutsideError("the store is full", hint="make room")
            return super().compose(key, *arguments, **more)

    store = Full()

    with pytest.raises(OutsideError, match="full"):
        run(registry, store)

    assert assert_whole(store) == [CAT]


def test_every_byte_of_an_upload_is_reported(
    registry: Path, store: MemoryStore
) -> None:
    publish = publishing(registry, store)
    seen = Seen()

    publish.run(recipes(publish), seen)

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
        run(registry, store)

    assert list(scratch.iterdir()) == []


def test_nothing_to_do_takes_one_request_however_many_releases_there_are(
    registry: Path, store: MemoryStore
) -> None:
    for patch in range(5):
        make_model(registry, "cat", version=f"1.0.{patch}")
        run(registry, store)
    store.calls.clear()

    run(registry, store)

    assert store.calls == [("read_movable", INDEX_KEY)]
