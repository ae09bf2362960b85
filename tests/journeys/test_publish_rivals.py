"""Of several publishers at once none changes a release, and no store lets them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.store import MemoryStore
from journeys.publishing import (
    CAT,
    OTHER_HANDLER,
    Seen,
    assert_whole,
    publishing,
    recipes,
    run,
    without_index,
)
from model_servers.adapters.releases import StoredReleases
from model_servers.core.index import INDEX_KEY
from model_servers.core.objects import Leftover
from model_servers.errors import OutsideError, RefusedError
from model_servers.ports import ProbedStore as Store
from zoo import make_model

RIVALS = 4
"""So many create a new store's index at once."""


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
    store = RacedStore(lambda store: run(registry, store, "cat"))

    plan, done = run(registry, store, "cat")

    assert [candidate.ref for candidate in plan.new] == [CAT]
    assert done == [CAT]
    assert assert_whole(store) == [CAT]
    assert len(without_index(store)) == 2


def test_of_two_publishers_of_other_bytes_the_second_is_refused(
    registry: Path, tmp_path: Path
) -> None:
    make_model(tmp_path / "rival", "cat", files={"handler_model.py": OTHER_HANDLER})
    store = RacedStore(lambda store: run(tmp_path / "rival", store, "cat"))
    publish = publishing(registry, store)
    seen = Seen()

    with pytest.raises(RefusedError) as caught:
        publish.run(recipes(publish, "cat"), seen)

    winner = StoredReleases(store).find(CAT)
    assert winner is not None
    assert str(caught.value).startswith(
        f"cat@1.0.0 was released by another run with archive "
        f"{winner.archive.sha256[:12]}; this one has "
    )
    assert caught.value.hint == "raise the version: ms bump cat"
    assert seen.done == []
    assert assert_whole(store) == [CAT]


def test_a_release_that_vanishes_is_told_as_such(registry: Path) -> None:
    class Forgetful(MemoryStore):
        def create(self, key: str, body: bytes) -> bool:
            return False

    with pytest.raises(OutsideError) as caught:
        run(registry, Forgetful(), "cat")

    assert str(caught.value) == "cat@1.0.0 is in the store and then it is not"
    assert caught.value.hint


def test_a_store_that_overwrites_is_refused(registry: Path) -> None:
    store = MemoryStore(overwrites=True)

    with pytest.raises(RefusedError, match="overwrites what is there") as caught:
        run(registry, store)

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
            run(registry, store)

    assert store.objects == {}


def test_the_race_is_run_once_in_the_life_of_a_store(
    registry: Path, store: MemoryStore
) -> None:
    run(registry, store, "cat")
    assert store.calls.count(("create", INDEX_KEY)) == RIVALS + 1
    store.calls.clear()

    run(registry, store)

    assert store.calls.count(("create", INDEX_KEY)) == 1


def test_what_killed_publishers_left_is_taken_away_and_rivals_are_left_alone(
    registry: Path, store: MemoryStore
) -> None:
    old = Leftover("models/cat/1.0.0/cat.mar", "1", is_abandoned=True)
    rival = Leftover("models/cat/1.0.0/cat.mar", "2", is_abandoned=False)
    store.left = [old, rival]

    run(registry, store)

    assert store.left == [rival]
