"""On a real TorchServe, what is wrong with one model takes no other one down."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_servers.cli.main import main
from torchserve.hosts import Clients, Host, publish, running
from zoo import make_model

pytestmark = pytest.mark.torchserve


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host that serves cat@1.1; the store has cat@1.3, which answers wrongly, too.

    It also has dog and owl.
    """
    publish(tmp_path, 1)
    publish(tmp_path, 1, name="dog")
    publish(tmp_path, 1, name="owl")
    wrong = {
        "schema": 1,
        "request": {"content_type": "application/json", "json": [1, 2]},
        "expect": {"json": [7, 7]},
    }
    registry = tmp_path / "registry-wrong"
    golden = {"golden/case.yaml": json.dumps(wrong)}
    make_model(registry, "cat", version="1.3", files=golden)
    store = (tmp_path / "store").as_uri()
    assert main(["publish", "--registry", str(registry), "--store", store]) == 0
    with running(Host(tmp_path), wants="1.1") as host:
        yield host


def asks(host: Host, **models: Any) -> None:
    profile = json.loads(host.profile.read_text())
    host.profile.write_text(json.dumps({**profile, "models": models}))


def test_two_models_that_cannot_be_had_stop_nothing_that_can(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    record = host.folder / "store" / "models" / "owl" / "1.1" / "release.json"
    whole = record.read_bytes()
    record.write_bytes(whole[: len(whole) // 2])
    asks(host, cat={"default": "1.1", "also": ["1.3"]}, dog="1.1", owl="1.1")

    with Clients(host.url) as clients:
        tried = host.sync()
        said = capsys.readouterr()
        again = host.sync()

    assert (tried, again) == (3, 4)
    assert "1 of 2 models failed: cat" in said.err
    assert "  x owl  (owl@1.1 cannot be read: " in said.out
    assert not clients.failed()
    assert clients.answers
    assert host.served() == [("1.1", True)]
    assert host.api.describe("dog")[0].is_ready
    assert not host.api.describe("owl")
    second = capsys.readouterr()
    assert ": nothing to do, 1 refused" in second.out
    assert "  = cat@1.1  (1.3 is held back by ms on " in second.out
    assert host.sync("status") == 0
    assert "cat@1.3 is held back by ms on " in capsys.readouterr().out

    record.write_bytes(whole)
    assert host.sync() == 0
    assert host.api.describe("owl")[0].is_ready
