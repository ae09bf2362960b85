"""Compares the shared handler with what people would otherwise use.

`make bench-handler` writes docs/benchmarks/handler.md; with `OPTIONS=--quick` it
takes a minute and writes to .work/ what shows that it runs, not how fast it is.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from benchmarks.handler import alone, cold, report, served
from benchmarks.handler.contenders import WORKLOADS
from benchmarks.handler.gates import Findings

_LIMIT_S = 720
_BEGIN_S = 600
"""The last workload of part B begins before; it takes less than two minutes."""

_ROOT = Path(__file__).resolve().parents[3]
_FULL = {"alone": 7, "served": 5, "cold": 5}
_QUICK = {"alone": 3, "served": 1, "cold": 1}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench-handler", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only show that it runs")
    quick = parser.parse_args().quick
    if shutil.which("wrk") is None:
        say("wrk is not installed: apt-get install wrk")
        return 2
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(_LIMIT_S)
    target = _ROOT / ("docs/benchmarks" if not quick else ".work/benchmarks")
    with tempfile.TemporaryDirectory(prefix="bench-handler-") as folder:
        findings = run(Path(folder), quick=quick)
    target.mkdir(parents=True, exist_ok=True)
    path = target / "handler.md"
    path.write_text(report.document(findings))
    say(f"wrote {path.relative_to(_ROOT)}")
    return 0


def _too_late(number: int, frame: object) -> None:
    raise TimeoutError(f"the benchmark was not done in {_LIMIT_S} s")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a program of its own


def run(folder: Path, *, quick: bool) -> Findings:
    """Measure all parts in an empty folder."""
    rounds = _QUICK if quick else _FULL
    workloads = WORKLOADS[:1] if quick else WORKLOADS
    sizes = (8,) if quick else (1, 8, 32)
    models, deep = folder / "models", folder / "deep"
    models.mkdir()
    deep.mkdir()
    started, load = time.monotonic(), os.getloadavg()[0]
    say("A. the worker alone")
    found_alone = alone.measure(
        models,
        workloads=workloads,
        batch_sizes=sizes,
        rounds=rounds["alone"],
        turn_s=0.01 if quick else 0.05,
    )
    say(f"C. cold start ({time.monotonic() - started:.0f} s)")
    found_cold = cold.measure(deep, rounds=rounds["cold"], layers=12 if quick else 125)
    say(f"B. end to end ({time.monotonic() - started:.0f} s)")
    found_served = served.measure(
        models,
        workloads=workloads,
        loggings=("quiet",) if quick else ("quiet", "default"),
        batch_sizes=sizes,
        rounds=rounds["served"],
        deadline=started + _BEGIN_S,
    )
    took_s = time.monotonic() - started
    return Findings(
        machine=machine(load, took_s, quick=quick),
        rounds=rounds,
        alone=found_alone,
        served=found_served,
        cold=found_cold,
    )


def machine(load_before: float, took_s: float, *, quick: bool) -> Mapping[str, str]:
    """Describe what was run where."""
    command = "make bench-handler" + (" OPTIONS=--quick" if quick else "")
    cores = len(os.sched_getaffinity(0))
    versions = [f"{name} {version(name)}" for name in ("torch", "torchserve", "orjson")]
    return {
        "command": f"`{command}`, {took_s / 60:.1f} minutes",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": f"{cores} cores, {cpu_model()}, {memory_gb():.0f} GB",
        "load average": f"{load_before:.1f} before the run; it causes about 2 itself",
        "versions": ", ".join([f"Python {platform.python_version()}", *versions]),
    }


def cpu_model() -> str:
    """Give the processor's name as Linux knows it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


if __name__ == "__main__":
    sys.exit(main())
