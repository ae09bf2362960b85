"""Two models, and a store that has none of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.store import MemoryStore
from zoo import make_model


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """Two models: cat@1.0.0 and dog@2.1.0."""
    folder = tmp_path / "registry"
    make_model(folder, "cat")
    make_model(folder, "dog", version="2.1.0")
    return folder


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()
