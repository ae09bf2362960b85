"""A real TorchServe on a model store, stopped and started again; a client of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import urllib3

from model_servers.adapters.torchserve_api import TorchServeApi
from model_servers.adapters.torchserve_process import Addresses, torchserve
from model_servers.core.names import Ref
from torchserve.serving import LIMIT_S


class Serving(NamedTuple):
    """A running TorchServe."""

    api: TorchServeApi
    addresses: Addresses


class Client:
    """Asks a model again and again, from a thread of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._statuses: list[int] = []
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def end(self) -> list[int]:
        """Stop asking, and give the statuses of all answers."""
        self._ended.set()
        self._thread.join()
        return self._statuses

    def _ask(self) -> None:
        headers = {"Content-Type": "application/json"}
        with urllib3.PoolManager(retries=False, timeout=LIMIT_S) as http:
            while not self._ended.is_set():
                answer = http.request("POST", self._url, body="[1]", headers=headers)
                self._statuses.append(answer.status)


@contextmanager
def serving(model_store: Path, config: str = "") -> Iterator[Serving]:
    """Run a TorchServe with the lines of a ``config.properties`` over its own."""
    lines = [line for line in config.splitlines() if line and not line.startswith("#")]
    settings: dict[str, object] = dict(line.split("=", 1) for line in lines)
    logs = model_store.with_name("logs")
    with torchserve(model_store, logs=logs, settings=settings) as addresses:
        api = TorchServeApi(
            management=addresses.management, inference=addresses.inference
        )
        yield Serving(api, addresses)


def boot_of(model_store: Path) -> str:
    """Give the config with which the TorchServe of a host starts."""
    return (model_store / ".model-servers" / "host" / "config.properties").read_text()


def await_ready(server: TorchServeApi, *refs: Ref) -> None:
    deadline = time.monotonic() + LIMIT_S
    for ref in refs:
        while not any(
            one.version == str(ref.version) and one.is_ready
            for one in server.describe(ref.name)
        ):
            assert time.monotonic() < deadline, server.served()
            time.sleep(0.05)


def found(server: TorchServeApi) -> dict[str, list[tuple[str, bool]]]:
    return {
        name: [(one.version, one.is_default) for one in versions]
        for name, versions in server.served().items()
    }
