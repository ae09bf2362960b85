"""Publishing where files cannot grow any further, at any of their bytes."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.releases import StoredReleases
from model_servers.core.release import released_refs
from zoo import checkpoint_of, make_model

ROOT = Path(__file__).resolve().parents[2]
SIZE_BYTES = 9 * 2**20


def publish(
    registry: Path, store: LocalStore, *, limit_bytes: int = resource.RLIM_INFINITY
) -> subprocess.CompletedProcess[str]:
    """Run ``ms publish`` where no file can have more bytes than that."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    flags = ["--registry", str(registry), "--store", store.address]
    return subprocess.run(
        [sys.executable, "-B", "-m", "model_servers", "publish", *flags],
        env={
            "PATH": os.defpath,
            "PYTHONPATH": str(ROOT / "tools"),
            "HOME": os.environ["HOME"],
        },
        preexec_fn=limited,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_disk_without_room_gets_no_release_and_the_next_run_ends_it(
    tmp_path: Path, seed: int
) -> None:
    weights = checkpoint_of(SIZE_BYTES)
    make_model(tmp_path / "registry", "cat", files={"checkpoint.pt": weights})
    store = LocalStore(tmp_path / "store")
    chance = random.Random(seed)
    limit_bytes = chance.choice([0, 100, chance.randrange(SIZE_BYTES)])

    failed = publish(tmp_path / "registry", store, limit_bytes=limit_bytes)

    assert failed.returncode == 3, failed.stderr
    assert "has space left" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert released_refs(store.keys("models/")) == []
    assert store.leftovers() == []
    assert publish(tmp_path / "registry", store).returncode == 0
    (ref,) = released_refs(store.keys("models/"))
    release = StoredReleases(store).find(ref)
    assert release is not None
    assert len(store.read(release.key) or b"") == release.archive.size_bytes
