"""Runs commands in processes of their own and tells their time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MS = (sys.executable, "-m", "model_servers")

# A child begins with the memory of whoever forks it; this one has little.
_LAUNCHER = """\
import json, os, sys, time
began = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - began
cpu_s = usage.ru_utime + usage.ru_stime
memory_mb = usage.ru_maxrss / 1000
found = {"seconds": seconds, "cpu_s": cpu_s, "memory_mb": memory_mb}
print("\\n" + json.dumps(found))
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one process took."""

    seconds: float
    cpu_s: float
    memory_mb: float
    out: str


def run(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str] = {}
) -> Run:
    """Run a command; RuntimeError with its own words if it fails."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", _LAUNCHER, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[:3]} failed: {done.stderr[-2000:]}")
    out, _, found = done.stdout.rstrip("\n").rpartition("\n")
    return Run(**json.loads(found), out=out)


def best(rounds: int, measure: Callable[[], Run], *, before: Callable[[], None]) -> Run:
    """Give the quickest of some runs: whatever else the machine does only adds."""
    runs = []
    for _ in range(rounds):
        before()
        runs.append(measure())
    return min(runs, key=lambda one: one.seconds)
