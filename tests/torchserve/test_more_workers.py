"""More workers than a machine can start: those that answer go on, in a TorchServe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_servers.cli.main import main
from torchserve.hosts import Clients, Host, running
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


def test_a_worker_that_answers_outlives_those_that_do_not_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host = Host(tmp_path)
    make_model(tmp_path / "registry", "cat", files={"handler_model.py": _ONE_WORKER})
    registry = ["--registry", str(tmp_path / "registry"), "--store", host.store]
    assert main(["publish", *registry]) == 0
    with running(host, wants={"default": "1.0.0", "workers": 1}):
        host.wants({"default": "1.0.0", "workers": 3})
        with Clients(host.url) as clients:
            tries = [host.sync(), host.sync()]

        (served,) = host.api.describe("cat")
        capsys.readouterr()
        status = host.sync("status", "--json")

        assert tries == [3, 3]
        assert clients.failed() == []
        assert (served.workers_ready, served.workers) == (1, 1)
        (cat,) = json.loads(capsys.readouterr().out)["models"]
        assert (status, cat["healthy"], cat["last_failure"]["times"]) == (0, True, 2)
        assert "cannot be loaded" in cat["last_failure"]["why"]
