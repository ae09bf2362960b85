"""Part C: from registering 500 MB of weights to the first answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.handler.contenders import DEEP, body_of, write_model
from benchmarks.handler.measured import Runs, turns
from benchmarks.handler.served import ask, register, server, unregister
from model_servers.adapters.torchserve_process import Addresses

WORKERS = 3
_ARCHIVES = {"directory": "ours-deep", "archive": "usual.mar"}
"""What is timed: ours from a directory, and what the official tools make."""


@dataclass(frozen=True)
class Cold:
    """What part C found."""

    seconds: Runs
    """To the first answer, for a directory and an archive; and `import torch`."""

    pack_s: float
    archive_mb: float
    checkpoint_mb: float
    memory_mb: Mapping[str, float]
    """Proportional set size, summed over workers, for some numbers of workers."""


def measure(store: Path, *, rounds: int, layers: int) -> Cold:
    """Run part C in the fresh model store *store*; a layer has 4 MB of weights."""
    body = body_of(store, DEEP).read_bytes()
    write_model(store, "ours", DEEP, layers=layers)
    usual = write_model(store, "base", DEEP, layers=layers)
    checkpoint_mb = (usual / "checkpoint.pt").stat().st_size / 1e6
    started = time.perf_counter()
    archive = pack_by_default(usual)
    pack_s = time.perf_counter() - started
    found: dict[str, list[float]] = {"import": [], **{name: [] for name in _ARCHIVES}}
    with server(store, store.parent / "logs-cold", "quiet") as addresses:
        for name in turns(found, rounds):
            if name == "import":
                found[name].append(import_seconds())
            else:
                found[name].append(first_answer_seconds(addresses, name, body))
        memory = {
            f"{contender}, {count}": memory_mb(addresses, contender, count, body)
            for contender in ("ours", "base")
            for count in (1, WORKERS)
        }
    size_mb = archive.stat().st_size / 1e6
    return Cold(found, pack_s, size_mb, checkpoint_mb, memory)


def pack_by_default(model: Path) -> Path:
    """Pack a model with the official archiver, as its documentation does."""
    store, work = model.parent, model.parent.parent / "archiver"
    work.mkdir()
    subprocess.run(
        [
            str(Path(sys.executable).with_name("torch-model-archiver")),
            "--model-name=usual",
            "--version=1.0",
            f"--model-file={model / 'model.py'}",
            f"--serialized-file={model / 'checkpoint.pt'}",
            f"--handler={model / 'contender.py'}",
            f"--extra-files={model / 'sample.py'}",
            f"--export-path={store}",
        ],
        env={**os.environ, "TMPDIR": str(work)},
        check=True,
        timeout=300,
    )
    return store / "usual.mar"


def import_seconds() -> float:
    """Time `import torch` in a fresh process, starting Python included."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True, timeout=60)
    return time.perf_counter() - started


def first_answer_seconds(addresses: Addresses, name: str, body: bytes) -> float:
    """Time registering with one worker and asking once."""
    started = time.perf_counter()
    with serving(addresses, name, _ARCHIVES[name], body):
        return time.perf_counter() - started


@contextmanager
def serving(
    addresses: Addresses, model: str, archive: str, body: bytes, workers: int = 1
) -> Iterator[None]:
    """Register a model, ask it once, and unregister it at the end of the block."""
    register(addresses, model, archive, 1, workers)
    predict(addresses, model, body)
    yield
    unregister(addresses, model)


def predict(addresses: Addresses, model: str, body: bytes) -> None:
    url = f"{addresses.inference}/predictions/{model}"
    ask("POST", url, body, DEEP.content_type)


def memory_mb(addresses: Addresses, contender: str, count: int, body: bytes) -> float:
    """Sum the workers' proportional set sizes: a shared page counts once."""
    model = f"memory-{contender}"
    with serving(addresses, model, f"{contender}-deep", body, count):
        # Until each of the workers has touched its weights.
        with ThreadPoolExecutor(2 * count) as pool:
            list(pool.map(lambda _: predict(addresses, model, body), range(20 * count)))
        described = json.loads(ask("GET", f"{addresses.management}/models/{model}"))
        pids: Sequence[int] = [worker["pid"] for worker in described[0]["workers"]]
        if len(pids) != count:
            raise RuntimeError(f"{model} has {len(pids)} workers, not {count}")
        return sum(pss_kb(pid) for pid in pids) / 1000


def pss_kb(pid: int) -> int:
    """Give a process's proportional set size (Linux 4.14 and newer)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:")))
