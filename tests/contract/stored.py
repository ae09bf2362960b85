"""Stores of every kind, and what tests put into them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.store import MemoryStore
from model_servers.adapters.file_content import FileContent
from model_servers.adapters.local_store import LocalStore
from model_servers.ports import ProbedStore as Store

BUCKET = "releases"
KINDS = ("memory", "local", "moto", "radosgw")
MIB = 2**20


def uploaded(store: Store, tmp_path: Path, data: bytes, key: str = "a/b.mar") -> str:
    source = tmp_path / "source"
    source.write_bytes(data)
    store.upload(key, FileContent(source), on_bytes=lambda count: None)
    return key


def made(
    kind: str, request: pytest.FixtureRequest, home: Path, s3: Callable[..., Store]
) -> Store:
    """Make an empty store of a kind."""
    match kind:
        case "memory":
            return MemoryStore()
        case "local":
            return LocalStore(home / "store")
        case "moto":
            return s3(request.getfixturevalue("moto_server"))
        case _:
            return s3(request.getfixturevalue("radosgw_at"))
