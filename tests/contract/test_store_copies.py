"""Objects that are made of ranges of others, without moving these."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from contract.stored import MIB, uploaded
from model_servers.adapters.file_content import FileContent
from model_servers.core.objects import Copied, Moved, Part, Sent
from model_servers.ports import ProbedStore as Store


def _composed(
    store: Store, tmp_path: Path, data: bytes, parts: list[Part]
) -> tuple[Moved, int]:
    source = tmp_path / "composed"
    source.write_bytes(data)
    moved: list[int] = []
    result = store.compose("new.mar", FileContent(source), parts, on_bytes=moved.append)
    return result, sum(moved)


OLD = secrets.token_bytes(11 * MIB)


def test_an_object_can_be_made_of_ranges_of_another(
    store: Store, tmp_path: Path
) -> None:
    key = uploaded(store, tmp_path, OLD, key="old.mar")
    tail = b"other code"
    new = OLD[: 5 * MIB] + OLD[6 * MIB : 11 * MIB] + tail
    parts: list[Part] = [
        Copied(key, 0, 5 * MIB),
        Copied(key, 6 * MIB, 5 * MIB),
        Sent(10 * MIB, len(tail)),
    ]

    moved, told = _composed(store, tmp_path, new, parts)

    assert moved == Moved(sent_bytes=len(tail), copied_bytes=10 * MIB)
    assert told == len(new)
    assert store.read_range("new.mar", 0, len(new)) == new


def test_an_object_can_be_a_whole_range_of_another(
    store: Store, tmp_path: Path
) -> None:
    key = uploaded(store, tmp_path, OLD, key="old.mar")
    new = OLD[MIB : 7 * MIB]

    moved, _ = _composed(store, tmp_path, new, [Copied(key, MIB, 6 * MIB)])

    assert moved == Moved(copied_bytes=6 * MIB)
    assert store.read_range("new.mar", 0, len(new)) == new


def test_composing_what_is_there_moves_nothing(store: Store, tmp_path: Path) -> None:
    data = b"0123456789"
    _composed(store, tmp_path, data, [Sent(0, 10)])

    assert _composed(store, tmp_path, data, [Sent(0, 10)]) == (Moved(), 0)


@pytest.mark.parametrize("store", ["local", "moto", "radosgw"], indirect=True)
def test_copied_bytes_that_are_others_are_noticed_and_sent(
    store: Store, tmp_path: Path
) -> None:
    key = uploaded(store, tmp_path, OLD, key="old.mar")
    new = bytes(6 * MIB)

    moved, _ = _composed(store, tmp_path, new, [Copied(key, 0, 6 * MIB)])

    assert moved.sent_bytes == 6 * MIB
    assert moved.why_not_copied == "the copy is not what it should be"
    assert store.read_range("new.mar", 0, len(new)) == new


@pytest.mark.parametrize("store", ["local", "moto", "radosgw"], indirect=True)
def test_a_damaged_object_of_the_right_size_is_replaced(
    store: Store, tmp_path: Path
) -> None:
    store.create("new.mar", b"9876543210")

    moved, _ = _composed(store, tmp_path, b"0123456789", [Sent(0, 10)])

    assert moved == Moved(sent_bytes=10)
    assert store.read("new.mar") == b"0123456789"
