"""A host on a disk of its own: a store, a model store, and a fake server."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from fakes.server import FakeServer
from fakes.store import MemoryStore
from fakes.watcher import Quiet
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.model_store import LocalModelStore
from model_servers.adapters.releases import StoredReleases
from model_servers.core.names import Ref
from model_servers.core.release import Release
from model_servers.journeys.build import Build
from model_servers.journeys.publish import Publish
from model_servers.journeys.released_bytes import ReleasedBytes
from model_servers.journeys.sync import Sync
from zoo import make_model


@dataclass
class Host:
    """One host, and a registry that publishes what it is to serve."""

    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.root = self.folder / "model_store"
        self.root.mkdir(parents=True)
        self.server = FakeServer(self.root)
        self.model_store = LocalModelStore(self.root, python=sys.executable)
        self.releases = StoredReleases(self.store)
        self.sync = Sync(
            server=self.server,
            model_store=self.model_store,
            store=self.store,
            releases=self.releases,
            drain_s=0,
        )

    def publish(self, ref: Ref, **model: object) -> Release:
        """Release a model; its golden case sends ``[1, 2]`` and wants it back."""
        registry = self.folder / "registry" / str(ref)
        make_model(registry, ref.name, version=str(ref.version), **model)  # type: ignore[arg-type]
        build = Build(registry=Checkout(registry), writer=MarWriter())
        Publish(build=build, store=self.store, releases=self.releases).run(
            [build.recipe(ref.name)], Quiet()
        )
        return self.release(ref)

    def release(self, ref: Ref) -> Release:
        """Read a release back."""
        found = self.releases.find(ref)
        assert found is not None
        return found

    def install(self, ref: Ref) -> Release:
        """Bring a release onto the disk."""
        release = self.release(ref)
        self.model_store.install(
            release,
            read_range=ReleasedBytes(self.store, release).read_range,
            on_bytes=lambda count: None,
        )
        return release

    def register(self, ref: Ref) -> None:
        """Let the server serve an installed release, with its workers ready."""
        self.server.register(ref)
        self.server.describe(ref.name)
        self.server.describe(ref.name)
