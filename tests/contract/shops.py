"""A registry, its store, and somebody far away who fetches from it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import torch

from fakes.watcher import Quiet
from model_servers.adapters.archive_folder import ArchiveFolder
from model_servers.adapters.channels import read_pointer
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.releases import StoredReleases
from model_servers.core.names import Ref
from model_servers.core.release import Release
from model_servers.journeys.build import Build
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.channels import Channels
from model_servers.journeys.fetch import Fetch, Fetched
from model_servers.journeys.publish import Publish
from model_servers.ports import OnBytes
from model_servers.ports import ProbedStore as Store
from zoo import HANDLER, make_model

KIB = 2**10


LAYERS, LAYER_SHAPE = 6, (300, 1000)


LAYER_BYTES = 300 * 1000 * 4


HINT = "run the command again; if it stays, the store is damaged"


def checkpoint(path: Path, **changed: torch.Tensor) -> bytes:
    """Give a checkpoint of six layers, always the same ones unless *changed*."""
    numbers = torch.Generator().manual_seed(1)
    layers = {
        f"layer{number}": torch.randn(LAYER_SHAPE, generator=numbers)
        for number in range(LAYERS)
    }
    torch.save(layers | changed, path / "model.pt")
    return (path / "model.pt").read_bytes()


@dataclass
class Shop:
    """A registry, the store it publishes to, and a folder of somebody far away."""

    home: Path
    store: Store
    shown: list[int] = field(default_factory=list)

    def publish(self, version: str, *, weights: bytes, handler: str = HANDLER) -> None:
        files = {"checkpoint.pt": weights, "handler_model.py": handler}
        make_model(self.home / "registry", "cat", version=version, files=files)
        build = Build(registry=Checkout(self.home / "registry"), writer=MarWriter())
        publish = Publish(build=build, store=self.store, releases=self.releases)
        publish.run([build.recipe("cat")], Quiet())

    @property
    def releases(self) -> StoredReleases:
        return StoredReleases(self.store)

    @property
    def catalog(self) -> Catalog:
        return Catalog(store=self.store, releases=self.releases)

    @property
    def folder(self) -> Path:
        return self.home / "far"

    def release(self, version: str) -> Release:
        release = self.releases.find(Ref.parse(f"cat@{version}"))
        assert release is not None
        return release

    def fetching(self, release: Release, size_bytes: int) -> OnBytes:
        self.shown.append(size_bytes)
        return lambda count: self.shown.append(-count)

    def fetch(self, text: str = "cat@latest") -> Fetched:
        journey = Fetch(
            store=self.store,
            releases=self.releases,
            archives=ArchiveFolder(self.folder),
            channels=Channels(
                store=self.store, catalog=self.catalog, read_pointer=read_pointer
            ),
        )
        return journey.run(text, self)

    def is_whole(self, version: str) -> bool:
        data = (self.folder / f"cat-{version}.mar").read_bytes()
        return hashlib.sha256(data).hexdigest() == self.release(version).archive.sha256

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())
