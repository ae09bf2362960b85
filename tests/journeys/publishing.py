"""Publishing two models, cat@1.0.0 and dog@2.1.0, and what is in a store then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from fakes.store import MemoryStore
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.releases import StoredReleases
from model_servers.core.index import INDEX_KEY, Entry, Index
from model_servers.core.names import Ref
from model_servers.core.objects import Moved
from model_servers.core.release import Candidate, Release, ReleasePlan
from model_servers.journeys.build import Build, Recipe
from model_servers.journeys.publish import Publish
from model_servers.ports import ProbedStore as Store
from zoo import HANDLER

OTHER_HANDLER = f"# changed\n{HANDLER}"


CAT = Ref.parse("cat@1.0.0")


DOG = Ref.parse("dog@2.1.0")


class Seen:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.done: list[Ref] = []
        self.bytes: dict[Ref, int] = {}
        self.sizes: dict[Ref, int] = {}

    def uploading(self, release: Release) -> Callable[[int], None]:
        self.bytes[release.ref] = 0

        def on_bytes(count: int) -> None:
            self.bytes[release.ref] += count

        return on_bytes

    def released(self, release: Release, moved: Moved) -> None:
        self.done.append(release.ref)
        self.sizes[release.ref] = release.archive.size_bytes


def publishing(registry: Path, store: Store) -> Publish:
    build = Build(registry=Checkout(registry), writer=MarWriter())
    return Publish(build=build, store=store, releases=StoredReleases(store))


def recipes(publish: Publish, *names: str) -> list[Recipe]:
    return [publish.build.recipe(name) for name in names or ("cat", "dog")]


def run(registry: Path, store: Store, *names: str) -> tuple[ReleasePlan, list[Ref]]:
    """Publish, and give the plan and the releases in the order they were done."""
    publish = publishing(registry, store)
    seen = Seen()
    plan = publish.run(recipes(publish, *names), seen)
    return plan, seen.done


def assert_whole(store: MemoryStore) -> list[Ref]:
    """Give the releases of a store, each of which must have its archive."""
    releases = StoredReleases(store)
    found = []
    for key in sorted(store.objects):
        if key.endswith("/release.json"):
            _, name, version, _ = key.split("/")
            release = releases.find(Ref.parse(f"{name}@{version}"))
            assert release is not None
            archive = store.objects[release.key]
            assert len(archive) == release.archive.size_bytes
            assert hashlib.sha256(archive).hexdigest() == release.archive.sha256
            found.append(release.ref)
    return found


def without_index(store: MemoryStore) -> dict[str, bytes]:
    return {key: body for key, body in store.objects.items() if key != INDEX_KEY}


def listed(store: MemoryStore) -> dict[Ref, Entry]:
    """Give what the index says, which counts its changes beside."""
    return dict(Index.from_bytes(store.objects[INDEX_KEY]).entries)


def candidate_of(registry: Path, name: str) -> Candidate:
    return recipes(publishing(registry, MemoryStore()), name)[0].candidate
