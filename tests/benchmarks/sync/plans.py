"""A plan that has nothing to do, by the number of models on the host."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.releases.measured import Run, best
from benchmarks.sync.stores import BUCKET, Bench
from model_servers.adapters.model_store import LocalModelStore
from model_servers.adapters.releases import read_release
from model_servers.core.names import Ref
from servers.answering import answering
from servers.proxy import proxy
from zoo import make_model


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One plan without anything to do."""

    run: Run
    requests: int
    """To the store."""


def measure(
    bench: Bench, counts: tuple[int, ...], *, rounds: int
) -> dict[int, Planned]:
    """Plan for hosts that have and serve the first models of a store."""
    names = [f"model_{number:03}" for number in range(max(counts))]
    for name in names:
        make_model(bench.folder / "many", name, version="1.0")
    bench.publish(bench.folder / "many")
    bench.afresh()
    with _serving(names) as address:
        at = replace(bench, torchserve={"management": address, "inference": address})
        for name in names:
            _install(at, Ref.parse(f"{name}@1.0"))
        return {count: _planned(at, names[:count], rounds) for count in counts}


def _planned(bench: Bench, names: list[str], rounds: int) -> Planned:
    bench.wants(**dict.fromkeys(names, "1.0"))
    allow = ["sync", "plan", "--json", "--allow-large-change"]
    with proxy(bench.server.endpoint_url) as between:
        found = bench.ms(*allow, endpoint_url=between.endpoint_url)
        requests = len(between.seen)
    signs = {one["name"]: one["sign"] for one in json.loads(found.out)["changes"]}
    if any(signs[name] != "=" for name in names):
        raise RuntimeError(f"there is something to do: {signs}")
    plan = best(rounds, lambda: bench.ms(*allow), before=lambda: None)
    return Planned(run=plan, requests=requests)


def _install(bench: Bench, ref: Ref) -> None:
    """Have a release as sync leaves it once it has answered."""
    s3 = bench.s3()
    key = bench.key(str(ref))
    place = f"{key.rpartition('/')[0]}/release.json"
    document = s3.get_object(Bucket=BUCKET, Key=place)["Body"].read()
    archive = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    store = LocalModelStore(bench.model_store, python=sys.executable)
    store.install(
        read_release(document, shown_as=place),
        chunks=lambda offset, length: [archive[offset : offset + length]],
        on_bytes=lambda count: None,
    )
    store.mark_answered(ref)


@contextmanager
def _serving(names: list[str]) -> Iterator[str]:
    """Answer as a TorchServe with these models; a real one needs much memory."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = self.path.partition("?")[0].split("/")
            listed = {"models": [{"modelName": name} for name in names]}
            body = json.dumps(_described(path[2]) if len(path) > 2 else listed).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with answering(server):
        yield f"http://127.0.0.1:{server.server_port}"


def _described(name: str) -> list[dict[str, object]]:
    return [
        {
            "modelName": name,
            "modelVersion": "1.0",
            "modelUrl": f"{name}-1.0",
            "minWorkers": 1,
            "maxWorkers": 1,
            "batchSize": 4,
            "maxBatchDelay": 5,
            "responseTimeout": 30,
            "workers": [{"id": "9000", "status": "READY", "gpu": False, "pid": 1}],
            "jobQueueStatus": {"remainingCapacity": 100, "pendingRequests": 0},
        }
    ]
