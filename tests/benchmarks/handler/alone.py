"""Part A: the worker alone, microseconds a request, contenders taking turns."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.handler.contenders import (
    CONTENDERS,
    Workload,
    body_of,
    write_model,
)
from benchmarks.handler.measured import Runs, turns

_START_S = 60.0
_PROGRAM = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Alone:
    """What part A found."""

    totals: Mapping[tuple[str, int], Runs]
    """Microseconds a request by contender, for each workload and batch size."""

    stages: Mapping[tuple[str, int, str], Mapping[str, float]]
    """Median microseconds by stage, for each workload, batch size and contender."""

    imported: Sequence[str]
    """Packages that ours imports beside those of the worker, answering JSON."""


class Child:
    """A worker process that answers lines of JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, **command: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(command), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended: {self._process.args}")
        return json.loads(line)


@contextmanager
def child(model: Path, body: Path, workload: Workload) -> Iterator[Child]:
    """Run a worker on a model directory for as long as the block takes."""
    process = subprocess.Popen(
        [sys.executable, str(_PROGRAM), str(body), workload.content_type],
        cwd=model,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Child(process)
    finally:
        process.kill()
        process.communicate()


def measure(
    store: Path,
    *,
    workloads: Sequence[Workload],
    batch_sizes: Sequence[int],
    rounds: int,
    turn_s: float,
) -> Alone:
    """Run part A in the fresh model store *store*."""
    totals: dict[tuple[str, int], Runs] = {}
    stages: dict[tuple[str, int, str], Mapping[str, float]] = {}
    imported: Sequence[str] = ()
    for workload in workloads:
        with ExitStack() as stack:
            body = body_of(store, workload)
            children = {
                name: stack.enter_context(
                    child(write_model(store, name, workload), body, workload)
                )
                for name in CONTENDERS
            }
            checks = {
                name: one.ask(count=2, batches=20, check=True)
                for name, one in children.items()
            }
            check_answers(workload, {n: c["answer"] for n, c in checks.items()})
            if workload.name == "json":
                imported = checks["ours"]["imported"]
            for size in batch_sizes:
                runs = _rounds(children, size, rounds, turn_s)
                totals[workload.name, size] = {
                    name: [run["total"] for run in found]
                    for name, found in runs.items()
                }
                for name, found in runs.items():
                    stages[workload.name, size, name] = _medians(found)
    return Alone(totals, stages, imported)


def check_answers(workload: Workload, answers: Mapping[str, Any]) -> None:
    """Refuse to compare handlers that do not give the same answer."""
    for name, answer in answers.items():
        same = len(answer) == len(answers["base"]) and all(
            math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4)
            for a, b in zip(answer, answers["base"], strict=False)
        )
        if name != "const" and not same:
            raise RuntimeError(f"{name} answers {workload.name} differently")


def _rounds(
    children: Mapping[str, Child], size: int, rounds: int, turn_s: float
) -> dict[str, list[dict[str, float]]]:
    batches = {}
    for name, one in children.items():
        us = one.ask(count=size, batches=10)["total"]
        batches[name] = max(5, int(turn_s * 1e6 / us / size))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in children}
    for name in turns(children, rounds):
        found[name].append(children[name].ask(count=size, batches=batches[name]))
    return found


def _medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Give the stages of the run whose total is the median, so that they add up."""
    return dict(sorted(runs, key=lambda run: run["total"])[len(runs) // 2])
