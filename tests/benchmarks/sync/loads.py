"""From the registration of a large model until it is ready, and a rollback to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import urllib3

from benchmarks.releases import builds
from benchmarks.releases.measured import MS, Run
from benchmarks.sync.stores import BUCKET, Bench
from model_servers.adapters.torchserve_api import TorchServeApi
from model_servers.adapters.torchserve_process import Addresses, torchserve
from model_servers.core.names import Ref
from zoo import HANDLER, make_model

_POLL_S = 0.02
_LIMIT_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """Seconds from registering until ready, the best of some."""

    small_s: float
    """Of a model of a few kB: Python's start, and its imports."""

    large_s: float
    stock_s: float
    """Of the large one as an archive, which TorchServe unpacks."""

    rollback: Run
    """To the large one, which is on the disk; the process and all it waits for."""


def measure(bench: Bench, checkpoint: Path, *, rounds: int) -> Loaded:
    """Load the same model in every way, and go back to it."""
    small = bench.folder / "small-registry"
    make_model(small, "small", version="1.0")
    bench.publish(small)
    for version, code in (("2.0", ""), ("2.1", "# other\n")):
        registry = builds.registry_of(
            bench.folder, checkpoint, version=version, code=f"{code}{HANDLER}"
        )
        bench.publish(registry)
    bench.afresh()
    archive = bench.model_store / "stock.mar"
    bench.s3().download_file(BUCKET, bench.key("big@2.0"), str(archive))
    logs = bench.folder / "logs"
    with torchserve(
        bench.model_store, logs=logs, settings={"number_of_gpu": 0}
    ) as addresses:
        at = replace(
            bench,
            torchserve={
                "management": addresses.management,
                "inference": addresses.inference,
            },
        )
        return _measured(at, addresses, rounds)


def _measured(bench: Bench, addresses: Addresses, rounds: int) -> Loaded:
    api = TorchServeApi(management=addresses.management, inference=addresses.inference)
    for version in ("2.0", "2.1"):
        bench.wants(big=version, small="1.0")
        bench.ms("sync", "apply", "--yes")
    profile = ["--profile", str(bench.folder / "sync.yaml")]
    rollback = bench.run([*MS, "sync", "rollback", "big", "--why", "a trial", *profile])
    for name in api.served():
        for one in api.describe(name):
            api.unregister(name, one.version)

    def best(entry: str, ref: str) -> float:
        return min(_seconds(api, entry, Ref.parse(ref)) for _ in range(rounds))

    return Loaded(
        small_s=best("small-1.0", "small@1.0"),
        large_s=best("big-2.0", "big@2.0"),
        stock_s=best("stock.mar", "big@2.0"),
        rollback=rollback,
    )


def _seconds(api: TorchServeApi, entry: str, ref: Ref) -> float:
    """Register an entry of the model store, wait until it is ready, take it off."""
    started = time.monotonic()
    _register(api, entry, ref)
    while not any(one.is_ready for one in api.describe(ref.name)):
        if time.monotonic() - started > _LIMIT_S:
            raise RuntimeError(f"{entry} is not ready: {api.describe(ref.name)}")
        time.sleep(_POLL_S)
    seconds = time.monotonic() - started
    api.unregister(ref.name, str(ref.version))
    return seconds


def _register(api: TorchServeApi, entry: str, ref: Ref) -> None:
    query = f"url={entry}&model_name={ref.name}&initial_workers=1&synchronous=false"
    answer = urllib3.request("POST", f"{api.address}/models?{query}", timeout=_LIMIT_S)
    if answer.status >= 300:
        raise RuntimeError(f"{entry} is not registered: {answer.data!r}")
