"""Times ``ms validate`` in registries of many small models.

`make bench-validate` writes docs/benchmarks/validate.md. Every run is a fresh process.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

import zoo

_ROOT = Path(__file__).resolve().parents[3]
_SIZES = (1, 100, 500, 2000)
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one process told: seconds of the whole, and of its parts."""

    total_s: float
    start_s: float
    yaml_s: float
    schemas_s: float
    memory_mb: float

    @property
    def work_s(self) -> float:
        """What is left without starting Python and importing the tool."""
        return self.total_s - self.start_s


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="bench-validate-") as folder:
        registries = {size: generated(Path(folder), size) for size in _SIZES}
        whole = {size: timed(path) for size, path in registries.items()}
        one = {size: timed(path, "model_0") for size, path in registries.items()}
    target = _ROOT / "docs" / "benchmarks" / "validate.md"
    target.write_text(document(whole, one))
    print(f"wrote {target.relative_to(_ROOT)}", file=sys.stderr)  # noqa: T201
    return 0


def generated(folder: Path, size: int) -> Path:
    """Write a registry of every kind of valid model, by turns."""
    registry = folder / f"registry-{size}"
    for number in range(size):
        kind = zoo.VARIANTS[number % len(zoo.VARIANTS)]
        kind.make(registry, f"model_{number}")
    return registry


def timed(registry: Path, *names: str) -> Run:
    """Validate in processes of their own; give the median of their times."""
    runs = sorted(
        (_process(registry, names) for _ in range(_ROUNDS)),
        key=lambda run: run.total_s,
    )
    return runs[len(runs) // 2]


def _process(registry: Path, names: tuple[str, ...]) -> Run:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.validate.process", str(registry), *names],
        env={"PYTHONPATH": f"{_ROOT / 'tools'}:{_ROOT / 'tests'}"},
        check=True,
        capture_output=True,
        text=True,
    )
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def document(whole: dict[int, Run], one: dict[int, Run]) -> str:
    """Write the page."""
    rows = [
        f"| {size} | {run.total_s:.2f} | {1000 * run.work_s / size:.2f} "
        f"| {100 * run.yaml_s / run.work_s:.0f} % "
        f"| {100 * run.schemas_s / run.work_s:.0f} % | {run.memory_mb:.0f} |"
        for size, run in whole.items()
    ]
    ones = [f"| {size} | {run.total_s:.2f} |" for size, run in one.items()]
    first, last = min(_SIZES[1:]), max(_SIZES)
    growth = (whole[last].work_s / last) / (whole[first].work_s / first)
    start_s = median(run.start_s for run in [*whole.values(), *one.values()])
    blocks = [
        "# How fast `ms validate` is",
        (
            "Written by `make bench-validate`; every figure comes from one run of it. "
            "Models are small and of every kind; nothing of theirs is imported "
            f"(`--static`). Each figure is of the median of {_ROUNDS} fresh processes."
        ),
        "\n".join(
            [
                "| what | in this run |",
                "| --- | --- |",
                f"| date | {datetime.now(timezone.utc).date()} |",
                f"| machine | {len(os.sched_getaffinity(0))} cores, {_cpu()} |",
                f"| load average | {os.getloadavg()[0]:.1f} after the run |",
                f"| Python | {platform.python_version()} |",
                f"| start | {start_s:.2f} s for Python and the tool, in every run |",
            ]
        ),
        "## All models",
        "\n".join(
            [
                (
                    "| models | seconds | ms per model, without the start "
                    "| of it reading YAML | of it checking schemas | memory, MB |"
                ),
                "| --- | --- | --- | --- | --- | --- |",
                *rows,
            ]
        ),
        (
            f"A model in a registry of {last} takes {growth:.2f} times what it takes "
            f"in one of {first}."
        ),
        "## One model",
        "\n".join(["| models in the registry | seconds |", "| --- | --- |", *ones]),
    ]
    return "\n\n".join(blocks) + "\n"


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
