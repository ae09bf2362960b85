"""Times builds and fetches of releases; `make bench-release` writes the page."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.releases import builds, many, tunings
from benchmarks.releases.fetches import PUBLISH, Bench, fetched_bytes
from benchmarks.releases.many import Many
from benchmarks.releases.measured import ROOT, Run
from benchmarks.releases.tunings import Moved
from servers import radosgw

MB = 10**6


def main() -> int:
    """Measure everything in one run and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of the bytes")
    scale = 10 if parser.parse_args().quick else 1
    build_mb, fetch_mb, rounds = 1000 // scale, 500 // scale, 3
    with tempfile.TemporaryDirectory(prefix="bench-release-") as name:
        folder = Path(name)
        large, middle = folder / "large.pt", folder / "middle.pt"
        builds.save_noise(large, build_mb * MB)
        builds.save_noise(middle, fetch_mb * MB)
        _say("builds")
        built = builds.measure(folder, large, rounds=rounds)
        _say("fetches")
        with radosgw.radosgw(folder / "radosgw") as server:
            bench = Bench(folder, server)
            bench.publish(middle, "1.0", code="")
            fetched = bench.measure(rounds=rounds)
            published = bench.publish_beside(large, "2.0")
            code_up = bench.publish_code("2.1", code="# faster\n")
            whole_down = bench.fetch_after("1.0", "2.0", rounds=rounds)
            code_down = bench.fetch_after("2.0", "2.1", rounds=rounds)
            copied = bench.copy_inside("2.0")
            _say("many releases")
            sizes = [
                many.measure(folder, bench, models=models, rounds=rounds)
                for models in (20, 200)
            ]
        _say("fine-tunes")
        tuned = tunings.measure(folder)
    blocks = [
        "# How fast releases are built and fetched",
        _about(rounds),
        f"## Builds of a checkpoint of {build_mb} MB",
        _table(built, over="ms build"),
        f"## Fetches of {fetch_mb} MB",
        _table(fetched, over="ms fetch, verified"),
        "The last two rows leave out the starts of Python and of boto3.",
        f"## Publishing {build_mb} MB for the first time",
        _table(published, over=PUBLISH),
        f"## A release of {build_mb} MB that changes only code",
        _code(
            {
                PUBLISH: (published[PUBLISH], code_up),
                "ms fetch": (whole_down, code_down),
            },
            copied,
        ),
        "## Publishing when there is nothing to do",
        _many(sizes),
        "## A fine-tuned checkpoint",
        _tunings(tuned),
    ]
    target = ROOT / "docs" / "benchmarks" / "releases.md"
    target.write_text("\n\n".join(blocks) + "\n")
    _say(f"wrote {target.relative_to(ROOT)}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _about(rounds: int) -> str:
    return (
        "Written by `make bench-release`; every figure comes from one run of it. Each "
        f"time is the best of {rounds} fresh processes with Python's start (one for "
        "the archiver's default, and for each publication). The checkpoints are "
        "noise; the store is radosgw on the same machine, so the network costs "
        "nothing and both share its cores.\n\n"
        f"{datetime.now(timezone.utc).date()}, {len(os.sched_getaffinity(0))} cores, "
        f"Python {platform.python_version()}, load average "
        f"{os.getloadavg()[0]:.1f} after the run."
    )


def _table(found: dict[str, Run], *, over: str) -> str:
    unit = found[over].seconds
    rows = [
        f"| {name} | {one.seconds:.2f} | {one.seconds / unit:.2f} "
        f"| {one.cpu_s:.2f} | {one.memory_mb:.0f} |"
        for name, one in found.items()
    ]
    head = f"| what | seconds | times `{over}` | of a core, s | memory, MB |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *rows])


def _code(found: dict[str, tuple[Run, Run]], copied: Run) -> str:
    code_bytes = fetched_bytes(found["ms fetch"][1])
    return "\n".join(
        [
            "| what | seconds, first release | seconds, code only | times faster |",
            "| --- | --- | --- | --- |",
            *(
                f"| {name} | {whole.seconds:.2f} | {code.seconds:.2f} "
                f"| {whole.seconds / code.seconds:.1f} |"
                for name, (whole, code) in found.items()
            ),
            "",
            (
                f"{code_bytes / 1000:.0f} kB came down. To copy the archive inside "
                f"itself takes the server {copied.seconds:.2f} s, when it has nothing "
                "else to do; before that, the new archive is hashed."
            ),
        ]
    )


def _many(sizes: list[Many]) -> str:
    rows = [
        f"| {one.releases} | {one.releases // many.VERSIONS} | {one.run.seconds:.2f} "
        f"| {one.run.cpu_s:.2f} | {one.requests} |"
        for one in sizes
    ]
    return "\n".join(
        [
            (
                f"Every model has {many.VERSIONS} releases. All models are validated, "
                "and the inputs of each are hashed; the store is asked for its index."
            ),
            "",
            "| releases | models | seconds | of a core, s | requests |",
            "| --- | --- | --- | --- | --- |",
            *rows,
        ]
    )


def _tunings(found: dict[str, Moved]) -> str:
    rows = [
        f"| {kind} | {one.changed_bytes / MB:.2f} | {one.fetched_bytes / MB:.2f} "
        f"| {one.reads} |"
        for kind, one in found.items()
    ]
    size = next(iter(found.values())).file_bytes / MB
    return "\n".join(
        [
            f"The checkpoint has {size:.0f} MB and the shape of a transformer.",
            "",
            "| trained | tensors that differ, MB | fetched, MB | reads |",
            "| --- | --- | --- | --- |",
            *rows,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
