"""What comes to a host: a first release, and one that changes only code."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.releases import builds
from benchmarks.releases.measured import Run, best
from benchmarks.sync.stores import BUCKET, Bench
from servers.proxy import proxy
from zoo import HANDLER

_UNREGISTERED = 3
"""What ``ms`` ends with where nothing registers what it has installed."""

_LOADED = f"""\
import contextlib, io, json, sys, time
from pathlib import Path
from model_servers.cli.main import main

def seconds(command, ends_with):
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["sync", *command, *sys.argv[1:]]) == ends_with
    return time.perf_counter() - began

seconds(["plan"], 0)
first = seconds(["apply", "--yes"], {_UNREGISTERED})
profile = Path("sync.yaml")
profile.write_text(profile.read_text().replace('"1.0"', '"1.1"'))
print(json.dumps([first, seconds(["apply", "--yes"], {_UNREGISTERED})]))
"""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """The times of one size."""

    first: dict[str, Run]
    code: Run
    code_bytes: int
    """Of all answers of the store, requests for documents included."""

    loaded_s: tuple[float, float]
    """Of the first and the code, in one process that has everything loaded."""


def measure(bench: Bench, checkpoint: Path, *, rounds: int) -> Fetched:
    """Bring a release in every way, and then one with other code."""
    for version, code in (("1.0", ""), ("1.1", "# faster\n")):
        registry = builds.registry_of(
            bench.folder, checkpoint, version=version, code=f"{code}{HANDLER}"
        )
        bench.publish(registry)
    first = {
        "ms sync apply, verified and unpacked": best(
            rounds, lambda: _install(bench, "1.0"), before=bench.afresh
        ),
        **_others(bench, rounds=rounds),
    }

    def before() -> None:
        bench.afresh()
        _install(bench, "1.0")

    code = best(rounds, lambda: _install(bench, "1.1"), before=before)
    before()
    with proxy(bench.server.endpoint_url) as between:
        _install(bench, "1.1", endpoint_url=between.endpoint_url)
        code_bytes = sum(one.answer_bytes for one in between.seen)
    return Fetched(
        first=first,
        code=code,
        code_bytes=code_bytes,
        loaded_s=min((_loaded(bench) for _ in range(rounds)), key=lambda both: both[1]),
    )


def _install(bench: Bench, version: str, *, endpoint_url: str = "") -> Run:
    """Have a release on the disk, where nothing is there to load it."""
    bench.wants(big=version)
    done = bench.ms(
        *("sync", "apply", "--yes", "--json"),
        endpoint_url=endpoint_url,
        ends_with=_UNREGISTERED,
    )
    if not (bench.model_store / f"big-{version}").is_dir():
        raise RuntimeError(f"big@{version} was not installed")
    (change,) = json.loads(done.out)["changes"]
    if change["after"] != version:
        raise RuntimeError(f"another plan than expected: {change}")
    return done


def _loaded(bench: Bench) -> tuple[float, float]:
    """Bring both in one process, as ``ms sync watch`` does."""
    bench.afresh()
    bench.wants(big="1.0")
    at = ["--endpoint-url", bench.server.endpoint_url]
    first_s, code_s = json.loads(bench.run([sys.executable, "-c", _LOADED, *at]).out)
    return first_s, code_s


def _others(bench: Bench, *, rounds: int) -> dict[str, Run]:
    aws = shutil.which("aws")
    if aws is None:
        sys.exit("aws is not on the PATH; it is what is compared with")
    s3 = [aws, "--endpoint-url", bench.server.endpoint_url, "s3"]
    key = bench.key("big@1.0")
    source = f"s3://{BUCKET}/{key}"
    folder = f"s3://{BUCKET}/{key.rpartition('/')[0]}/"
    target = bench.model_store
    return {
        "aws s3 cp": best(
            rounds,
            lambda: bench.run([*s3, "cp", source, str(target / "big.mar")]),
            before=bench.afresh,
        ),
        "aws s3 sync": best(
            rounds,
            lambda: bench.run([*s3, "sync", folder, str(target)]),
            before=bench.afresh,
        ),
    }
