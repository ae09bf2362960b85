"""Stores of every kind, empty and with a shop around them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contract.shops import Shop, checkpoint
from contract.stored import KINDS, made
from fakes.store import MemoryStore
from model_servers.adapters.s3_store import S3Store
from model_servers.ports import ProbedStore as Store


@pytest.fixture(params=KINDS)
def store(
    request: pytest.FixtureRequest, tmp_path: Path, s3_store: Callable[..., S3Store]
) -> Store:
    """An empty store of each kind."""
    return made(request.param, request, tmp_path, s3_store)


@pytest.fixture(params=KINDS)
def anywhere(
    request: pytest.FixtureRequest, tmp_path: Path, s3_store: Callable[..., Store]
) -> Shop:
    """A shop with every kind of store."""
    return Shop(tmp_path, made(request.param, request, tmp_path, s3_store))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, MemoryStore())


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    return checkpoint(tmp_path)
