"""Somebody's file becomes an object with the bytes that were hashed, or none."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from model_servers.adapters.file_content import HashedContent
from model_servers.adapters.local_store import LocalStore
from model_servers.errors import OutsideError

DATA = random.Random(1).randbytes(3 * 2**20 + 17)
SHA256 = hashlib.sha256(DATA).hexdigest()
KEY = f"checkpoints/sha256/{SHA256}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def ignore(_: int) -> None:
    """Nobody looks on."""


def test_a_file_is_stored_as_it_is(file: Path, store: LocalStore) -> None:
    store.upload(KEY, HashedContent(file, SHA256), on_bytes=ignore)

    assert store.read(KEY) == DATA


def test_more_than_there_is_is_not_given(file: Path) -> None:
    content = HashedContent(file, SHA256)

    assert content.read(len(DATA) - 2, 10) == DATA[-2:]
    assert content.read(len(DATA) + 2, 10) == b""


def test_a_file_that_changed_since_it_was_hashed_is_no_content(file: Path) -> None:
    file.write_bytes(DATA[:-1])

    with pytest.raises(OutsideError, match="changed after it was hashed"):
        HashedContent(file, SHA256)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(DATA[:-1], id="cut"),
        pytest.param(DATA[:-1] + b"?", id="other bytes"),
        pytest.param(b"", id="emptied"),
    ],
)
def test_a_file_that_changes_before_it_is_stored_is_not(
    file: Path, store: LocalStore, other: bytes
) -> None:
    content = HashedContent(file, SHA256)

    file.write_bytes(other)

    with pytest.raises(OutsideError, match="changed after it was hashed"):
        store.upload(KEY, content, on_bytes=ignore)
    assert list(store.keys("")) == []


def test_a_file_that_is_gone_is_told(file: Path) -> None:
    file.unlink()

    with pytest.raises(OutsideError, match=f"{file} cannot be read: No such file"):
        HashedContent(file, SHA256)
