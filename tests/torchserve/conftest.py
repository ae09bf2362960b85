"""A real TorchServe for each module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import urllib3

from model_servers.adapters.torchserve_process import torchserve
from torchserve.serving import LIMIT_S, Server, Start


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts TorchServe, with settings of its own; it ends with the module."""
    with ExitStack() as stack:

        def start(**settings: object) -> Server:
            work = tmp_path_factory.mktemp("torchserve")
            (work / "model_store").mkdir()
            # The same answers on every machine.
            settings = {"number_of_gpu": 0, **settings}
            running = torchserve(
                work / "model_store", logs=work / "logs", settings=settings
            )
            http = urllib3.PoolManager(retries=False, timeout=LIMIT_S, maxsize=32)
            stack.callback(http.clear)
            return Server(
                stack.enter_context(running),
                work / "model_store",
                work / "registry",
                work / "logs",
                http,
            )

        yield start


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """A TorchServe that serves nothing yet."""
    return start()
