"""Part B: end to end, wrk against one TorchServe for each contender."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3

from benchmarks.handler.alone import check_answers
from benchmarks.handler.contenders import CONTENDERS, Workload, body_of
from benchmarks.handler.measured import Runs, turns
from model_servers.adapters import torchserve_process
from model_servers.adapters.torchserve_process import Addresses, torchserve

QUIET_LOGGING = Path(torchserve_process.__file__).with_name("log4j2.xml")
CONNECTIONS = 64
MAX_BATCH_DELAY_MS = 5
TURN_S = 0.6
WARM_UP_S = 4.0
"""For each server before its first turn: Java compiles what it runs often."""

_POST = Path(__file__).with_name("post.lua")
_PAUSE_S = 0.1
_HTTP = urllib3.PoolManager(retries=False, timeout=120)


@dataclass
class Served:
    """What part B found."""

    rates: dict[tuple[str, str, int], Runs]
    """Requests a second by contender, for each logging, workload and batch size."""

    failed: dict[str, int]
    """Requests that were not answered 200, by contender."""

    asked: int = 0
    left_out: list[str] = field(default_factory=list)
    """Workloads for which there was no time."""

    def add(
        self,
        logging: str,
        workload: Workload,
        rows: Mapping[int, Mapping[str, Sequence[Mapping[str, Any]]]],
    ) -> None:
        """Take in the turns of a workload, by batch size and contender."""
        for size, found in rows.items():
            self.rates[logging, workload.name, size] = {
                name: [1e6 * run["requests"] / run["us"] for run in runs]
                for name, runs in found.items()
            }
            for name, runs in found.items():
                self.failed[name] += sum(run["failed"] for run in runs)
                self.asked += sum(run["requests"] for run in runs)


@contextmanager
def server(store: Path, logs: Path, logging: str) -> Iterator[Addresses]:
    """Run a TorchServe with our quiet logging or its own default one."""
    name = "LOG4J_CONFIGURATION_FILE"
    if logging == "quiet":
        os.environ[name] = QUIET_LOGGING.as_uri()
    else:
        os.environ.pop(name, None)
    try:
        with torchserve(store, logs=logs) as addresses:
            yield addresses
    finally:
        os.environ.pop(name, None)


def ask(
    method: str, url: str, body: bytes | None = None, content_type: str = ""
) -> bytes:
    """Send one request; anything but 2xx ends the benchmark."""
    headers = {"Content-Type": content_type} if content_type else {}
    answer = _HTTP.request(method, url, body=body, headers=headers)
    if not 200 <= answer.status < 300:
        raise RuntimeError(f"{method} {url}: {answer.status} {answer.data[:300]!r}")
    return answer.data


def register(
    addresses: Addresses, model: str, archive: str, batch_size: int, workers: int = 1
) -> None:
    """Register an archive or a directory of the model store, and wait for it."""
    ask(
        "POST",
        f"{addresses.management}/models?url={archive}&model_name={model}"
        f"&batch_size={batch_size}&max_batch_delay={MAX_BATCH_DELAY_MS}"
        f"&initial_workers={workers}&synchronous=true",
    )


def unregister(addresses: Addresses, model: str) -> None:
    ask("DELETE", f"{addresses.management}/models/{model}")


def load(
    addresses: Addresses,
    model: str,
    body: Path,
    content_type: str,
    *,
    turn_s: float = TURN_S,
) -> dict[str, Any]:
    """Ask a model as fast as it answers, on 64 connections that stay open."""
    command = [
        "wrk",
        "--threads=1",
        f"--connections={CONNECTIONS}",
        "--duration=60s",
        f"--script={_POST}",
        f"{addresses.inference}/predictions/{model}",
    ]
    process = subprocess.Popen(
        command,
        env={**os.environ, "BENCH_BODY": str(body), "BENCH_TYPE": content_type},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(turn_s)
        process.send_signal(signal.SIGINT)  # wrk then reports on the time it had
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    time.sleep(_PAUSE_S)  # for the answers that nobody waits for any more
    line = next(li for li in output.splitlines() if li.startswith("RESULT "))
    found: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found


def measure(
    store: Path,
    *,
    workloads: Sequence[Workload],
    loggings: Sequence[str],
    batch_sizes: Sequence[int],
    rounds: int,
    deadline: float,
) -> Served:
    """Run part B on the models that part A has written into *store*.

    Args:
        store: the model store.
        workloads: the first is run with each logging configuration, before others.
        loggings: configurations of logging; other workloads have only the first.
        batch_sizes: in rising order.
        rounds: the turns of each row and contender.
        deadline: of the monotonic clock; no workload is begun after it.
    """
    found = Served({}, dict.fromkeys(CONTENDERS, 0))
    plan = [(logging, workloads[0]) for logging in loggings]
    plan += [(loggings[0], workload) for workload in workloads[1:]]
    with ExitStack() as stack:
        servers = {
            logging: {
                name: stack.enter_context(
                    server(store, store.parent / f"logs-{logging}-{name}", logging)
                )
                for name in CONTENDERS
            }
            for logging in loggings
        }
        for logging, workload in plan:
            if time.monotonic() > deadline:
                found.left_out.append(f"{workload.name} ({logging})")
                continue
            is_first = workload is workloads[0]
            rows = _rows(
                servers[logging],
                workload,
                batch_sizes,
                rounds,
                store,
                warm_up_s=WARM_UP_S if is_first else TURN_S,
            )
            found.add(logging, workload, rows)
    return found


def _rows(
    servers: Mapping[str, Addresses],
    workload: Workload,
    batch_sizes: Sequence[int],
    rounds: int,
    store: Path,
    *,
    warm_up_s: float,
) -> dict[int, dict[str, list[dict[str, Any]]]]:
    body = body_of(store, workload)
    with registered(servers, workload, batch_sizes, body):
        for addresses in servers.values():
            model = f"{workload.name}-{batch_sizes[-1]}"
            load(addresses, model, body, workload.content_type, turn_s=warm_up_s)
        return {
            size: _rounds(servers, workload, size, rounds, body) for size in batch_sizes
        }


@contextmanager
def registered(
    servers: Mapping[str, Addresses],
    workload: Workload,
    batch_sizes: Sequence[int],
    body: Path,
) -> Iterator[None]:
    """Serve a workload's models, one for each contender and batch size."""
    pairs = [(name, size) for name in servers for size in batch_sizes]

    def start(pair: tuple[str, int]) -> Any:
        name, size = pair
        model = f"{workload.name}-{size}"
        register(servers[name], model, f"{name}-{workload.name}", size)
        url = f"{servers[name].inference}/predictions/{model}"
        for _ in range(20):
            answer = ask("POST", url, body.read_bytes(), workload.content_type)
        return json.loads(answer)

    with ThreadPoolExecutor(4) as pool:
        answers = dict(zip(pairs, pool.map(start, pairs), strict=True))
    for size in batch_sizes:
        check_answers(workload, {name: answers[name, size] for name in servers})
    yield
    for name, size in pairs:
        unregister(servers[name], f"{workload.name}-{size}")


def _rounds(
    servers: Mapping[str, Addresses],
    workload: Workload,
    size: int,
    rounds: int,
    body: Path,
) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
    model = f"{workload.name}-{size}"
    for name in turns(servers, rounds):
        found[name].append(load(servers[name], model, body, workload.content_type))
    return found
