"""Weights that the store has already are copied inside it."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from fakes.store import MemoryStore
from journeys.publishing import CAT, OTHER_HANDLER, assert_whole, run
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.releases import StoredReleases
from model_servers.core.names import Ref
from model_servers.core.reuse import PART_MIN_BYTES, checkpoint_key
from zoo import make_model

LARGE = random.Random(0).randbytes(12 * 2**20)


def test_a_code_only_release_copies_the_weights_inside_the_store(
    registry: Path, store: MemoryStore
) -> None:
    make_model(registry, "cat", files={"checkpoint.pt": LARGE})
    run(registry, store, "cat")
    make_model(
        registry,
        "cat",
        version="1.0.1",
        files={"checkpoint.pt": LARGE, "handler_model.py": OTHER_HANDLER},
    )

    run(registry, store, "cat")

    release = StoredReleases(store).find(Ref.parse("cat@1.0.1"))
    assert release is not None
    moved = store.moved[release.key]
    assert moved.copied_bytes == len(LARGE) + 4096
    assert moved.sent_bytes < 110_000
    assert assert_whole(store) == [CAT, release.ref]


def test_weights_that_are_stored_under_their_digest_are_copied(
    registry: Path, store: MemoryStore
) -> None:
    store.objects[checkpoint_key(hashlib.sha256(LARGE).hexdigest())] = LARGE
    make_model(registry, "cat", files={"checkpoint.pt": LARGE})

    run(registry, store, "cat")

    release = StoredReleases(store).find(CAT)
    assert release is not None
    assert store.moved[release.key].copied_bytes == len(LARGE) + 4096 - PART_MIN_BYTES
    assert assert_whole(store) == [CAT]


def test_weights_of_a_release_whose_archive_is_gone_are_sent(
    registry: Path, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path / "store")
    make_model(registry, "cat", files={"checkpoint.pt": LARGE})
    run(registry, store, "cat")
    release = StoredReleases(store).find(CAT)
    assert release is not None
    store.delete(release.key)
    changed = {"checkpoint.pt": LARGE, "handler_model.py": OTHER_HANDLER}
    make_model(registry, "cat", version="1.0.1", files=changed)

    run(registry, store, "cat")

    new = StoredReleases(store).find(Ref.parse("cat@1.0.1"))
    assert new is not None
    archive = store.read(new.key)
    assert archive is not None
    assert hashlib.sha256(archive).hexdigest() == new.archive.sha256
