"""Archives of models, and a model store of a host that they are released for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.installing import Blob
from adapters.packing import EVERYTHING, build
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.model_store import LocalModelStore
from model_servers.core.entries import Layout
from model_servers.core.release import Release
from model_servers.journeys.build import Build, Built
from zoo import make_model


@pytest.fixture
def everything(tmp_path: Path) -> Built:
    """An archive of a model that has every kind of file."""
    return build(EVERYTHING.make(tmp_path / "registry"), tmp_path / "out")


@pytest.fixture
def released(tmp_path: Path) -> Callable[..., tuple[Release, bytes]]:
    """Build real archives; the arguments are those of ``make_model``."""

    def release(**model: object) -> tuple[Release, bytes]:
        registry = tmp_path / f"registry-{len(list(tmp_path.glob('registry-*')))}"
        make_model(registry, **model)  # type: ignore[arg-type]
        journey = Build(registry=Checkout(registry), writer=MarWriter())
        recipe = journey.recipe(str(model.get("name", "tiny")))
        built = journey.write(recipe, registry)
        return journey.release(recipe, built.archive), built.path.read_bytes()

    return release


@pytest.fixture
def make_blob(released: Callable[..., tuple[Release, bytes]]) -> Callable[..., Blob]:
    """Build the same, and keep a record of what is read of them."""
    return lambda **model: Blob(*released(**model))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "model_store"
    folder.mkdir()
    return folder


@pytest.fixture
def model_store(root: Path, request: pytest.FixtureRequest) -> LocalModelStore:
    layout = getattr(request, "param", Layout.DIR)
    return LocalModelStore(root, python=sys.executable, layout=layout)
