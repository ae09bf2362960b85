"""Publishers killed at random points: no reader sees half a release, and the next
run repairs everything."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.releases import StoredReleases
from model_servers.adapters.s3_store import S3Store
from model_servers.core.names import Ref
from model_servers.core.release import released_refs
from model_servers.journeys.catalog import Catalog
from model_servers.ports import ProbedStore
from servers.proxy import Proxy, proxy
from servers.s3 import S3Server
from zoo import HANDLER, checkpoint_of, make_model

ROOT = Path(__file__).parents[2]
KILLED = -9
WEIGHTS = checkpoint_of(33 * 2**20)

KILL_AT_EVENT = """\
import os, signal, sys
from model_servers.cli.main import main
left = int(sys.argv.pop(1))
def is_ours(event, arguments):
    if event in {"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}:
        places = [str(one) for one in arguments]
        return any("/store" in one for one in places)
    return event == "fcntl.flock"
def count(event, arguments):
    global left
    if is_ours(event, arguments):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
status = main(sys.argv[1:])
print(left)
sys.exit(status)
"""


@dataclass(frozen=True)
class Publisher:
    """Publishes the models of a registry in a process of its own."""

    registry: Path
    store: str
    environment: dict[str, str]

    def start(self, *program: str, endpoint_url: str = "") -> subprocess.Popen[str]:
        flags = ["--registry", str(self.registry), "--store", self.store]
        if endpoint_url:
            flags += ["--endpoint-url", endpoint_url]
        return subprocess.Popen(
            [sys.executable, *program, "publish", *flags],
            env={
                "PATH": os.defpath,
                "PYTHONPATH": str(ROOT / "tools"),
                "HOME": os.environ["HOME"],
                **self.environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def raise_version(self, number: int) -> None:
        handler = f"# {number}\n{HANDLER}"
        files = {"handler_model.py": handler, "checkpoint.pt": WEIGHTS}
        make_model(self.registry, "cat", version=f"1.{number}", files=files)
        make_model(self.registry, "dog", version=f"1.{number}")


def whole_releases(store: ProbedStore, number: int) -> list[Ref]:
    """Give the releases; each of the newest ones has its archive, with its bytes."""
    releases = StoredReleases(store)
    refs = released_refs(store.keys("models/"))
    for ref in [ref for ref in refs if ref.version.text == f"1.{number}"]:
        release = releases.find(ref)
        assert release is not None
        archive = store.read_range(release.key, 0, release.archive.size_bytes)
        assert hashlib.sha256(archive).hexdigest() == release.archive.sha256
    return refs


def listed(store: ProbedStore) -> list[Ref]:
    index = Catalog(store=store, releases=StoredReleases(store)).read()
    return [] if index is None else sorted(index.entries)


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kills"))


def test_a_publisher_into_a_folder_killed_at_any_file_is_repaired_by_the_next(
    tmp_path: Path, kills: int
) -> None:
    store = LocalStore(tmp_path / "store")
    publisher = Publisher(tmp_path / "registry", store.address, {})
    chance = random.Random(kills)
    program = ("-c", KILL_AT_EVENT)
    publisher.raise_version(0)
    counted = publisher.start(*program, str(10**6))
    out, _ = counted.communicate()
    assert counted.returncode == 0
    events = 10**6 - int(out.split()[-1])
    ends = []

    for number in range(1, kills + 1):
        publisher.raise_version(number)
        killed = publisher.start(*program, str(chance.randint(1, events)))
        killed.communicate()
        whole_releases(store, number)
        again = publisher.start("-m", "model_servers")
        again.communicate()

        ends.append(killed.returncode)
        assert again.returncode == 0
        assert len(whole_releases(store, number)) == 2 * (number + 1)
        assert listed(store) == whole_releases(store, number)
    assert set(ends) <= {KILLED, 0}  # a later run may touch fewer files
    assert ends.count(KILLED) > kills / 2


@pytest.fixture
def between(radosgw_at: S3Server) -> Iterator[Proxy]:
    with proxy(radosgw_at.endpoint_url) as running:
        yield running


def test_a_publisher_into_s3_killed_at_any_request_is_repaired_by_the_next(
    tmp_path: Path,
    kills: int,
    between: Proxy,
    radosgw_at: S3Server,
    s3_store: Callable[..., S3Store],
) -> None:
    store = s3_store(radosgw_at)
    credentials = {
        name: os.environ[name]
        for name in (
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_DEFAULT_REGION",
            "AWS_EC2_METADATA_DISABLED",
        )
    }
    publisher = Publisher(tmp_path / "registry", store.address, credentials)
    chance = random.Random(kills)

    def published() -> int:
        process = publisher.start(
            "-m", "model_servers", endpoint_url=between.endpoint_url
        )
        process.communicate()
        return process.returncode

    def killed_at(request: int, *, after: bool) -> int:
        first = len(between.seen)
        process = publisher.start(
            "-m", "model_servers", endpoint_url=between.endpoint_url
        )

        def kill(number: int) -> None:
            if len(between.seen) - first >= request:
                process.kill()
                process.wait()

        setattr(between, "after" if after else "before", kill)
        process.communicate()
        between.before = between.after = lambda number: None
        return process.returncode

    publisher.raise_version(0)
    assert published() == 0
    requests = len(between.seen)

    for number in range(1, kills + 1):
        publisher.raise_version(number)
        status = killed_at(chance.randrange(requests), after=chance.random() < 0.5)
        whole_releases(store, number)

        assert status in (KILLED, 0)  # a later run has fewer requests
        assert published() == 0
        assert len(whole_releases(store, number)) == 2 * (number + 1)
        assert listed(store) == whole_releases(store, number)
