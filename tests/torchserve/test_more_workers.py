"""More workers than a machine can start: those that answer go on, in a TorchServe."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from model_servers.cli.main import main
from torchserve.hosts import Host, running
from zoo import make_model

pytestmark = pytest.mark.torchserve

_ONE_WORKER = """\
from pathlib import Path

from base_handler import handler_factory


def init_function():
    # Stands for memory that is enough for one.
    Path(__file__).with_name("taken").touch(exist_ok=False)
    return lambda batch: batch


handler = handler_factory(init_function=init_function)
"""


@contextmanager
def _serving(folder: Path, workers: int, **model: Any) -> Iterator[tuple[Host, int]]:
    """Give a host that serves cat, and the process that answered first."""
    host = Host(folder)
    registry = folder / "registry"
    make_model(registry, "cat", **model)
    assert main(["publish", "--registry", str(registry), "--store", host.store]) == 0
    with running(host, wants={"default": "1.0.0", "workers": workers}):
        (served,) = host.api.describe("cat")
        yield host, served.pids[0]


def test_a_worker_that_ends_takes_no_other_with_it(tmp_path: Path) -> None:
    with _serving(tmp_path, 2) as (host, pid):
        (ending,) = {*host.api.describe("cat")[0].pids} - {pid}
        os.kill(ending, signal.SIGKILL)
        while host.api.describe("cat")[0].workers_ready == 2:
            time.sleep(0.05)

        status = host.sync()

        (served,) = host.api.describe("cat")
        assert status == 0
        assert (served.workers_ready, served.workers) == (2, 2)
        assert pid in served.pids


def test_a_worker_that_answers_outlives_those_that_do_not_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = {"handler_model.py": _ONE_WORKER}
    with _serving(tmp_path, 1, files=code) as (host, pid):
        host.wants({"default": "1.0.0", "workers": 3})

        tries = [host.sync(), host.sync()]

        (served,) = host.api.describe("cat")
        capsys.readouterr()
        status = host.sync("status", "--json", "--ready")
        (cat,) = json.loads(capsys.readouterr().out)["models"]
        assert tries == [3, 3]
        assert (served.pids, served.workers_ready, served.workers) == ((pid,), 1, 1)
        assert (status, cat["healthy"], cat["last_failure"]["times"]) == (0, True, 2)
        assert "cannot be loaded" in cat["last_failure"]["why"]
