"""What publishing does with an index or a release that cannot be trusted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fakes.store import MemoryStore
from journeys.publishing import CAT, DOG, OTHER_HANDLER, listed, run
from model_servers.core.index import INDEX_KEY, Index
from model_servers.core.release import release_key
from model_servers.errors import OutsideError, RefusedError, RequestError
from zoo import make_model


@pytest.mark.parametrize("body", [b"not json", b'{"schema": 1}', b"[]"])
def test_a_damaged_release_stops_the_run_before_anything_is_written(
    registry: Path, store: MemoryStore, body: bytes
) -> None:
    store.objects[release_key(CAT)] = body

    with pytest.raises(OutsideError) as caught:
        run(registry, store)

    assert str(caught.value).startswith(f"{store.address}/{release_key(CAT)}")
    assert store.written == []


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
    run(registry, store)
    before = listed(store)
    store.objects.pop(INDEX_KEY)
    if damage is not None:
        store.objects[INDEX_KEY] = damage

    plan, done = run(registry, store)

    assert [candidate.ref for candidate in plan.unchanged] == [CAT, DOG]
    assert done == []
    assert listed(store) == before


def test_an_index_that_lists_what_is_not_released_cannot_hide_a_conflict(
    registry: Path, store: MemoryStore
) -> None:
    run(registry, store)
    index = Index.from_bytes(store.objects[INDEX_KEY])
    stale = {ref: entry for ref, entry in index.entries.items() if ref != CAT}
    store.objects[INDEX_KEY] = replace(index, entries=stale).to_bytes()
    make_model(registry, "cat", files={"handler_model.py": OTHER_HANDLER})

    with pytest.raises(RefusedError, match="other inputs: cat@1"):
        run(registry, store)


def test_an_index_of_a_newer_version_is_left_alone(
    registry: Path, store: MemoryStore
) -> None:
    store.objects[INDEX_KEY] = b'{"schema": 2}'

    with pytest.raises(RequestError, match="newer model-servers"):
        run(registry, store)

    assert store.objects == {INDEX_KEY: b'{"schema": 2}'}
