"""Fetches killed at random points: no half archive, and the next one goes on."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
from model_servers.core.segments import SEGMENT_MAX_BYTES
from model_servers.journeys.build import Build
from model_servers.journeys.publish import Publish
from model_servers.ports import ProbedStore
from servers.proxy import proxy
from servers.s3 import S3Server
from zoo import make_model

ROOT = Path(__file__).parents[2]
CAT = Ref.parse("cat@1.0")
MIB = 2**20
WEIGHTS = random.Random(1).randbytes(70 * MIB)

FETCH = """\
import os, signal, sys
from model_servers.cli.main import main
from model_servers.core import delta
delta.GET_MAX_BYTES = 2**21  # more reads, more places to be killed at
left = int(sys.argv.pop(1))
folder = sys.argv[sys.argv.index("-o") + 1]
def count(event, arguments):
    global left
    if event in {"open", "os.rename", "os.truncate", "fcntl.flock", "os.remove"}:
        if folder in str(arguments[0]) or event == "fcntl.flock":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
status = main(sys.argv[1:])
print(left)
sys.exit(status)
"""


def publish(home: Path, store: ProbedStore) -> Release:
    make_model(
        home / "registry", "cat", version="1.0", files={"checkpoint.pt": WEIGHTS}
    )
    build = Build(registry=Checkout(home / "registry"), writer=MarWriter())
    releases = StoredReleases(store)
    Publish(build=build, store=store, releases=releases).run(
        [build.recipe("cat")], Quiet()
    )
    release = releases.find(CAT)
    assert release is not None
    return release


def fetch(
    folder: Path, store: str, *flags: str, kill_at: int = 0
) -> subprocess.Popen[str]:
    """Start a fetch in a process of its own, which may kill itself."""
    arguments = ["fetch", str(CAT), "-o", str(folder), "--store", store, *flags]
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(kill_at), *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tools")},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_killed_at_any_file_it_leaves_no_half_archive_and_the_next_one_ends_it(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = LocalStore(tmp_path / "store")
    release, folder = publish(tmp_path, store), tmp_path / "far"
    whole = fetch(folder, store.address, kill_at=10**6)
    told, _ = whole.communicate()
    steps = 10**6 - int(told.splitlines()[-1])
    chance = random.Random(1)
    target = folder / "cat-1.0.mar"

    for _ in range(request.config.getoption("--kills")):
        if chance.random() < 0.5:  # so that some go on where others were killed
            target.unlink(missing_ok=True)
        killed = fetch(folder, store.address, kill_at=chance.randrange(1, steps))
        killed.communicate()
        assert killed.returncode in {0, -signal.SIGKILL}
        left = {".cat-1.0.mar.fetch", ".cat-1.0.mar.fetch.journal", "cat-1.0.mar"}
        assert names(folder) <= left
        if target.exists():
            found = hashlib.sha256(target.read_bytes()).hexdigest()
            assert found == release.archive.sha256

    target.unlink(missing_ok=True)
    last = fetch(folder, store.address)
    last.communicate()
    assert last.returncode == 0
    assert hashlib.sha256(target.read_bytes()).hexdigest() == release.archive.sha256
    assert names(folder) == {"cat-1.0.mar"}


def wait_for_a_segment(journal: Path, release: Release) -> None:
    """Return when one of the large segments is written down."""
    parts = release.archive.members[0].segments
    large = {part.blake3 for part in parts if part.length == SEGMENT_MAX_BYTES}
    deadline = time.monotonic() + 60
    while not large & set(journal.read_text().split()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_in_the_middle_it_fetches_only_the_rest_out_of_s3(
    tmp_path: Path, radosgw_at: S3Server, s3_store: Callable[..., S3Store]
) -> None:
    store = s3_store(radosgw_at)
    release, folder = publish(tmp_path, store), tmp_path / "far"
    with proxy(radosgw_at.endpoint_url) as behind:
        killed = fetch(folder, store.address, "--endpoint-url", behind.endpoint_url)

        def kill(number: int) -> None:
            # One of some 40 requests is held up until another segment has come.
            if number == 34:
                wait_for_a_segment(folder / ".cat-1.0.mar.fetch.journal", release)
                killed.kill()

        behind.before = kill
        killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert "cat-1.0.mar" not in names(folder)

    with proxy(radosgw_at.endpoint_url) as behind:
        again = fetch(folder, store.address, "--endpoint-url", behind.endpoint_url)
        again.communicate()

    came = sum(one.answer_bytes for one in behind.seen if one.method == "GET")
    assert again.returncode == 0
    assert came < release.archive.size_bytes - 30 * MIB
    data = (folder / "cat-1.0.mar").read_bytes()
    assert hashlib.sha256(data).hexdigest() == release.archive.sha256
