"""Times what a host does; `make bench-sync` writes the page."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.releases import builds
from benchmarks.releases.measured import ROOT
from benchmarks.sync import fetches, loads, plans
from benchmarks.sync.fetches import Fetched
from benchmarks.sync.loads import Loaded
from benchmarks.sync.plans import Planned
from benchmarks.sync.stores import BUCKET, Bench
from servers import radosgw
from servers.idle import idle_torchserve

MB = 10**6
OURS = "ms sync apply, verified and unpacked"


def main() -> int:
    """Measure everything in one run and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="a tenth of the bytes")
    is_quick = parser.parse_args().quick
    scale, rounds = (10, 1) if is_quick else (1, 3)
    fetch_mb, load_mb = 1000 // scale, 500 // scale
    with tempfile.TemporaryDirectory(prefix="bench-sync-") as name:
        folder = Path(name)
        large, middle = folder / "large.pt", folder / "middle.pt"
        builds.save_noise(large, fetch_mb * MB)
        builds.save_noise(middle, load_mb * MB)
        with radosgw.radosgw(folder / "radosgw") as server:
            bench = Bench(folder, server)
            bench.s3().create_bucket(Bucket=BUCKET)
            _say("plans")
            planned = plans.measure(bench, (10, 50), rounds=rounds)
            _say("fetches")
            with idle_torchserve() as address:
                idle = {"management": address, "inference": address}
                at = replace(bench, torchserve=idle)
                fetched = fetches.measure(at, large, rounds=rounds)
            _say("loads")
            loaded = loads.measure(bench, middle, rounds=rounds)
    blocks = [
        "# How fast a host follows its store",
        _about(rounds, is_quick=is_quick),
        f"## A first release of {fetch_mb} MB",
        _fetches(fetched),
        "## The next one changes only code",
        _code(fetched),
        "## A plan that has nothing to do",
        _plans(planned),
        f"## From registering {load_mb} MB until they are ready",
        _loads(loaded),
    ]
    target = ROOT / "docs" / "benchmarks" / "sync.md"
    target.write_text("\n\n".join(blocks) + "\n")
    _say(f"wrote {target.relative_to(ROOT)}")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _about(rounds: int, *, is_quick: bool) -> str:
    quick = "This was a quick run, with a tenth of the bytes. " if is_quick else ""
    return (
        f"Written by `make bench-sync`; every figure comes from one run of it. {quick}"
        f"Each time is the best of {rounds}; those of commands are of fresh processes "
        "with Python's start. The checkpoints are noise; the store is radosgw on the "
        "same machine, so the network costs nothing and both share its cores.\n\n"
        f"{datetime.now(timezone.utc).date()}, {len(os.sched_getaffinity(0))} cores, "
        f"Python {platform.python_version()}, load average "
        f"{os.getloadavg()[0]:.1f} after the run."
    )


def _fetches(found: Fetched) -> str:
    unit = found.first[OURS].seconds
    rows = [
        f"| {name} | {one.seconds:.2f} | {one.seconds / unit:.2f} | {one.cpu_s:.2f} "
        f"| {one.memory_mb:.0f} |"
        for name, one in found.first.items()
    ]
    head = "| what | seconds | times ours | of a core, s | memory, MB |"
    note = (
        "Ours ends with a verified tree that TorchServe can register, the others with "
        "an archive that nobody has verified."
    )
    return "\n".join([note, "", head, "| --- | --- | --- | --- | --- |", *rows])


def _code(found: Fetched) -> str:
    rows = {
        "ms sync apply, with its start": (
            found.first[OURS].seconds,
            found.code.seconds,
        ),
        "the same in a process that runs, as ms sync watch does": found.loaded_s,
    }
    return "\n".join(
        [
            f"{found.code_bytes / 1000:.0f} kB came over the wire (wanted: below 100).",
            "",
            "| what | first, s | code only, s | times faster (wanted: 20) |",
            "| --- | --- | --- | --- |",
            *(
                f"| {what} | {first_s:.2f} | {code_s:.2f} | {first_s / code_s:.1f} |"
                for what, (first_s, code_s) in rows.items()
            ),
        ]
    )


def _plans(found: dict[int, Planned]) -> str:
    rows = [
        f"| {count} | {one.run.seconds:.2f} | {one.requests} |"
        for count, one in found.items()
    ]
    note = (
        "The models are on the disk; what describes them is not TorchServe but a "
        "stand-in. Wanted: below 1 s with 50, and as many requests as with 10."
    )
    head = ["| models | seconds | requests to the store |", "| --- | --- | --- |"]
    return "\n".join([note, "", *head, *rows])


def _loads(found: Loaded) -> str:
    rows = [
        ("a model of some kB, by sync", found.small_s),
        ("the large one, by sync", found.large_s),
        ("the large one, as an archive that TorchServe unpacks", found.stock_s),
    ]
    lines = [
        f"| {name} | {seconds:.2f} | {seconds - found.small_s:.2f} |"
        for name, seconds in rows
    ]
    back = found.rollback.seconds
    note = (
        "The small one shows how long Python and its imports take. Wanted: below 0.5 s "
        "more for the large one."
    )
    rollback = (
        f"`ms sync rollback` to the large one, which is still on the disk, took "
        f"{back:.2f} s: {back - found.large_s:.2f} s more than its registration alone "
        "(wanted: below 1 s)."
    )
    return "\n".join(
        [
            note,
            "",
            "| what | seconds | more than the small one |",
            "| --- | --- | --- |",
            *lines,
            "",
            rollback,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
