"""A host on which releases are installed and registered without a sync."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fakes import host
from model_servers.adapters.releases import StoredReleases
from model_servers.core.names import Ref
from model_servers.core.profile import Policy
from model_servers.core.release import Release
from model_servers.journeys.released_bytes import ReleasedBytes


@dataclass
class Host(host.Host):
    """One host, and a registry that publishes what it is to serve."""

    clock: host.Clock = field(default_factory=host.Clock)
    policy: Policy = field(default_factory=lambda: Policy(drain_s=0))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.releases = StoredReleases(self.store)

    def release(self, ref: Ref) -> Release:
        """Read a release back."""
        found = self.releases.find(ref)
        assert found is not None
        return found

    def entry(self, ref: Ref) -> Path:
        """Name what the server registers a version from."""
        return self.root / self.layout.entry(ref)

    def install(self, ref: Ref, **overlay: object) -> Release:
        """Bring a release onto the disk, with what this host changes in its config."""
        release = self.release(ref)
        self.model_store.install(
            release,
            chunks=ReleasedBytes(self.store, release).chunks,
            on_bytes=lambda count: None,
            overlay=overlay,
        )
        return release

    def register(self, ref: Ref) -> None:
        """Let the server serve an installed release, with its workers ready."""
        self.server.register(ref)
        self.server.describe(ref.name)
        self.server.describe(ref.name)
