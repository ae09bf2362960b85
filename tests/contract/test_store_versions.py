"""Objects that are swapped, and reads that are pinned to one version of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.stored import uploaded
from model_servers.errors import OutsideError
from model_servers.ports import ProbedStore as Store


def _swapped(store: Store, key: str, body: bytes) -> bool:
    found = store.read_movable(key)
    return store.swap(key, body, found and found.token)


def test_what_was_swapped_in_can_be_read_and_swapped_again(store: Store) -> None:
    assert _swapped(store, "channels/stable.json", b"1")
    assert _swapped(store, "channels/stable.json", b"2")
    assert _swapped(store, "channels/stable.json", b"3")

    assert store.read("channels/stable.json") == b"3"
    assert list(store.keys("channels/")) == ["channels/stable.json"]


def test_a_swap_that_expects_something_else_changes_nothing(store: Store) -> None:
    _swapped(store, "index.json", b"1")
    first = store.read_movable("index.json")
    assert first is not None
    _swapped(store, "index.json", b"2")

    assert store.swap("index.json", b"3", first.token) is False
    assert store.swap("index.json", b"3", None) is False
    assert store.swap("other.json", b"3", first.token) is False
    assert store.read("index.json") == b"2"
    assert store.read("other.json") is None


@pytest.mark.parametrize("store", ["memory", "local", "radosgw"], indirect=True)
def test_of_racing_swaps_none_is_lost(store: Store) -> None:
    # moto looks and then writes, in two steps, so it loses some.
    def add(number: int) -> None:
        while True:
            found = store.read_movable("index.json")
            body = (found.body if found else b"") + b"%d," % number
            if store.swap("index.json", body, found and found.token):
                return

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(add, range(9)))

    body = store.read("index.json")
    assert body is not None
    assert sorted(body.decode().split(",")) == ["", *map(str, range(9))]


def test_an_object_has_a_size_and_another_token_for_other_bytes(
    store: Store, tmp_path: Path
) -> None:
    uploaded(store, tmp_path, b"0123456789", key="a.mar")
    uploaded(store, tmp_path, b"9876543210", key="b.mar")

    one, other = store.stat("a.mar"), store.stat("b.mar")

    assert one is not None
    assert other is not None
    assert (one.size_bytes, other.size_bytes) == (10, 10)
    assert one.token != other.token
    assert store.stat("c.mar") is None


def test_a_pinned_read_refuses_other_bytes(store: Store, tmp_path: Path) -> None:
    key = uploaded(store, tmp_path, b"0123456789", key="a.mar")
    uploaded(store, tmp_path, b"9876543210", key="b.mar")
    pins = [store.stat(each) for each in (key, "b.mar")]
    assert all(pins)

    assert store.read_range(key, 2, 3, token=pins[0].token) == b"234"
    with pytest.raises(OutsideError, match="changed") as caught:
        store.read_range(key, 2, 3, token=pins[1].token)
    assert caught.value.hint
