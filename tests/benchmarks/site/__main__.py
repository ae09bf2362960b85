"""Times `ms site` for a large registry, and weighs the page with the search.

`make bench-site` writes docs/benchmarks/site.md. The run is a fresh process.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import zoo
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.releases import StoredReleases
from model_servers.core.layout import HANDLER_FILES
from model_servers.core.names import Ref, Version
from model_servers.core.release import Archive, Release, ReleasedMember, release_key
from model_servers.core.segments import Run, Segment
from model_servers.core.verdicts import Answered, Passed
from model_servers.journeys.catalog import Catalog

_ROOT = Path(__file__).resolve().parents[3]
_MODELS = 1000
_VERSIONS = 10
_MOST_S = 30
_MOST_BYTES = 300_000
_CARD = (_ROOT / "registry/digits/README.md").read_text("utf-8")
_WORDS = (
    "tells",
    "reads",
    "counts",
    "handwritten",
    "image",
    "voice",
    "wine",
    "of",
    "a",
)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-site-") as name:
        folder = Path(name)
        commit = _registry(folder / "registry")
        _store(folder / "store", commit)
        before_s = _cpu_s()
        seconds = _site(folder)
        cpu_s = _cpu_s() - before_s
        page = (folder / "pages/index.html").read_bytes()
        files = [one for one in (folder / "pages").rglob("*") if one.is_file()]
        total = sum(one.stat().st_size for one in files)
    packed = len(gzip.compress(page, 6))
    memory_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    facts = {
        "date": str(datetime.now(timezone.utc).date()),
        "machine": f"{len(os.sched_getaffinity(0))} cores",
        "load average": f"{os.getloadavg()[0]:.1f} after the run",
        "Python": platform.python_version(),
        "models": f"{_MODELS:,} of {_VERSIONS} versions, cards of {len(_CARD):,} B",
        "seconds": f"**{seconds:.1f}** (at most {_MOST_S})",
        "of it on a processor": f"{cpu_s:.1f}",
        "memory": f"{memory_mb:.0f} MB",
        "files": f"{len(files):,}, {total / 2**20:.0f} MiB",
        "page with the search": f"{len(page):,} B, **{packed:,} B** compressed by gzip"
        f" (at most {_MOST_BYTES:,})",
    }
    target = _ROOT / "docs" / "benchmarks" / "site.md"
    target.write_text(_document(facts))
    print(target.read_text())  # noqa: T201
    return int(seconds > _MOST_S or packed > _MOST_BYTES)


def _cpu_s() -> float:
    """Say how long processes that have ended were at work."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _document(facts: dict[str, str]) -> str:
    rows = [f"| {name} | {told} |" for name, told in facts.items()]
    table = "\n".join(["| what | in this run |", "| --- | --- |", *rows])
    return (
        "# How fast `ms site` is\n\nWritten by `make bench-site`; every figure comes "
        "from one run of it, from a local\nfolder as the store.\n\n" + table + "\n"
    )


def _registry(registry: Path) -> str:
    """Write models of every kind, by turns, and commit them."""
    chance = random.Random(1)
    for number in range(_MODELS):
        kind = zoo.VARIANTS[number % len(zoo.VARIANTS)]
        folder = kind.make(registry, _name(number), version=f"1.{_VERSIONS - 1}.0")
        (folder / "README.md").write_text(_CARD)
        text = (folder / "model.yaml").read_text()
        summary = " ".join(chance.choices(_WORDS, k=12)).capitalize()
        (folder / "model.yaml").write_text(
            text.replace("A model for tests.", f"{summary}.")
        )
    git = ["git", "-C", str(registry), "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    done = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def _name(number: int) -> str:
    return f"model_{number}"


def _store(folder: Path, commit: str) -> None:
    """Release every version of every model, without the archives."""
    store = LocalStore(folder)
    for number in range(_MODELS):
        for minor in range(_VERSIONS):
            ref = Ref(_name(number), Version.parse(f"1.{minor}.0"))
            store.create(release_key(ref), _release(ref, commit).to_bytes())
    Catalog(store=store, releases=StoredReleases(store)).rebuild()


def _release(ref: Ref, commit: str) -> Release:
    """Give a release in which the code changed, and each third time the weights."""
    weights = ref.version.numbers[1] // 3
    members = [
        _member("checkpoint.pt", 10_000_000, f"{ref.name} {weights}"),
        _member("handler_model.py", 2000, str(ref)),
        _member("model-config.yaml", 400, ref.name),
        _member("MAR-INF/MANIFEST.json", 600, f"manifest {ref}"),
        *(
            _member(f"MAR-INF/golden/{i}.yaml", 500, f"{ref.name} {i}")
            for i in range(4)
        ),
        *(_member(path, 6000, path) for path in HANDLER_FILES),
    ]
    return Release(
        ref=ref,
        archive=Archive(
            size_bytes=sum(one.length for one in members) + 5000,
            sha256=_digest(str(ref)),
            framing_blake3=_digest(f"framing {ref}"),
            members=tuple(members),
        ),
        inputs_digest=_digest(f"inputs {ref}"),
        git_commit=commit,
        toolchain={"handler": _digest("handler")},
        resources={"gpu_memory_mib": 256},
        tested=(_passed("cpu"), _passed("gpu")),
    )


def _passed(device: str) -> Passed:
    return Passed(
        device=device,
        golden=tuple(Answered(case=str(i), latency_ms=3.25) for i in range(4)),
        load_s=2.5,
        p50_ms=3.25,
        p95_ms=7.5,
        memory_mib=412,
    )


def _member(path: str, size_bytes: int, content: str) -> ReleasedMember:
    segment = Segment((Run(4096, size_bytes),), _digest(content))
    return ReleasedMember(path, 4096, size_bytes, _digest(content), (segment,))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _site(folder: Path) -> float:
    started = time.monotonic()
    subprocess.run(
        [
            *(sys.executable, "-m", "model_servers", "site"),
            *("--registry", str(folder / "registry")),
            *("--store", (folder / "store").as_uri(), "-o", str(folder / "pages")),
        ],
        env={**os.environ, "PYTHONPATH": str(_ROOT / "tools")},
        check=True,
    )
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
