"""A registry that has released much already: what publishing nothing costs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import zoo
from benchmarks.releases.fetches import Bench
from benchmarks.releases.measured import Run, best
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.core.index import INDEX_KEY, Entry, Index
from model_servers.core.names import Ref, Version
from model_servers.journeys.build import Build

VERSIONS = 10


@dataclass(frozen=True, kw_only=True)
class Many:
    """One size of a registry."""

    releases: int
    run: Run
    requests: int


def measure(folder: Path, bench: Bench, *, models: int, rounds: int) -> Many:
    """Time a publish that finds nothing to do.

    The store has the index that ten releases of every model leave, and no archives,
    which nobody looks at.
    """
    registry = folder / f"registry-{models}"
    for number in range(models):
        zoo.make_model(registry, f"model{number}", version=f"1.{VERSIONS - 1}")
    build = Build(registry=Checkout(registry), writer=MarWriter())
    entries = {}
    for name in build.registry.names():
        recipe = build.recipe(name)
        entry = Entry(
            archive_sha256="0" * 64, size_bytes=1, inputs_digest=recipe.inputs_digest
        )
        for number in range(VERSIONS):
            entries[Ref(name, Version.parse(f"1.{number}"))] = entry
    prefix = f"many-{models}"
    bench.put(f"{prefix}/{INDEX_KEY}", Index(entries=entries).to_bytes())

    def publish() -> Run:
        return bench.publish_all(registry, prefix)

    found = best(rounds, publish, before=lambda: None)
    told = json.loads(found.out)
    if told["new"] or len(told["unchanged"]) != models:
        raise RuntimeError(f"there was something to do: {told['new'][:3]}")
    with bench.counting() as count:
        publish()
        requests = count()
    return Many(releases=len(entries), run=found, requests=requests)
