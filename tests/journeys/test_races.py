"""Nine publishers at once: one version has one content, whoever was first."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakes.watcher import Quiet
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.releases import StoredReleases
from model_servers.adapters.s3_store import S3Store
from model_servers.core.names import Ref
from model_servers.core.release import Release
from model_servers.errors import RefusedError
from model_servers.journeys.build import Build
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.publish import Publish
from model_servers.ports import ProbedStore
from servers.s3 import S3Server
from zoo import HANDLER, make_model

PUBLISHERS = 9
CAT = Ref.parse("cat@1.0.0")


@pytest.fixture(params=["local", "radosgw"])
def store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    s3_store: Callable[[S3Server], S3Store],
) -> ProbedStore:
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    return s3_store(request.getfixturevalue("radosgw_at"))


def race(store: ProbedStore, registries: list[Path]) -> list[RefusedError | None]:
    """Let everybody plan and build at once; give what each was told."""
    together = threading.Barrier(len(registries))

    class Gated(StoredReleases):
        """Nobody writes before everybody has looked."""

        is_first = True

        def find(self, ref: Ref) -> Release | None:
            found = super().find(ref)
            if self.is_first:
                self.is_first = False
                together.wait()
            return found

    def publish(registry: Path) -> RefusedError | None:
        build = Build(registry=Checkout(registry), writer=MarWriter())
        journey = Publish(build=build, store=store, releases=Gated(store))
        try:
            journey.run([build.recipe("cat")], Quiet())
        except RefusedError as error:
            return error
        return None

    with ThreadPoolExecutor(len(registries)) as pool:
        return list(pool.map(publish, registries))


def archive_of(store: ProbedStore, release: Release) -> bytes:
    return store.read_range(release.key, 0, release.archive.size_bytes)


def test_nine_publishers_of_the_same_bytes_all_succeed(
    store: ProbedStore, tmp_path: Path
) -> None:
    make_model(tmp_path / "registry", "cat")

    told = race(store, [tmp_path / "registry"] * PUBLISHERS)

    assert told == [None] * PUBLISHERS
    releases = StoredReleases(store)
    release = releases.find(CAT)
    assert release is not None
    assert hashlib.sha256(archive_of(store, release)).hexdigest() == (
        release.archive.sha256
    )
    index = Catalog(store=store, releases=releases).read()
    assert index is not None
    assert list(index.entries) == [CAT]


def test_of_nine_publishers_of_other_bytes_one_wins_and_eight_are_refused(
    store: ProbedStore, tmp_path: Path
) -> None:
    registries = []
    for number in range(PUBLISHERS):
        registry = tmp_path / f"registry-{number}"
        handler = f"# {number}\n{HANDLER}"
        make_model(registry, "cat", files={"handler_model.py": handler})
        registries.append(registry)

    told = race(store, registries)

    assert told.count(None) == 1
    assert all(
        "was released by another run" in str(error) and error.hint
        for error in told
        if error is not None
    )
    release = StoredReleases(store).find(CAT)
    assert release is not None
    winner = registries[told.index(None)]
    build = Build(registry=Checkout(winner), writer=MarWriter())
    assert release.inputs_digest == build.recipe("cat").inputs_digest
    assert hashlib.sha256(archive_of(store, release)).hexdigest() == (
        release.archive.sha256
    )
