"""A host with a real TorchServe: settings of its own, a rollback, a restart."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from fakes.model_store import write_entry
from model_servers.adapters.entries import why_unusable
from model_servers.adapters.host_memory import FileHostMemory
from model_servers.adapters.torchserve_api import TorchServeMetrics
from model_servers.cli.main import main
from model_servers.core.golden import Request
from model_servers.core.memory import Memory
from model_servers.core.names import Ref
from model_servers.journeys.host.boot import write_boot
from torchserve.one_host import Client, Serving, await_ready, boot_of, found, serving
from zoo import make_model

pytestmark = pytest.mark.torchserve


def test_torchserve_starts_into_what_was_served_and_a_broken_one_stops_no_other(
    tmp_path: Path,
) -> None:
    old, new, other, broken, hollow = map(
        Ref.parse,
        ["echo@1.9", "echo@1.10", "other-name@2.0", "broken@1.0", "hollow@1.0"],
    )
    model_store, base = tmp_path / "model_store", tmp_path / "config.properties"
    for ref in (old, new, other, broken, hollow):
        write_entry(model_store, ref)
    (model_store / broken.entry / "MAR-INF" / "MANIFEST.json").write_text('{"cut')
    # This one would end TorchServe at its start.
    (model_store / hollow.entry / "model-config.yaml").write_text("")
    base.write_text("metrics_mode=prometheus\n")
    memory = FileHostMemory(model_store, config=base)
    served = {
        "broken": ("1.0",),
        "echo": ("1.9", "1.10"),
        "gone": ("1.0",),
        "hollow": ("1.0",),
        "other-name": ("2.0",),
    }
    memory.write(Memory(served=served))
    left_out = write_boot(memory, partial(why_unusable, model_store))
    assert left_out.keys() == {"broken@1.0", "gone@1.0", "hollow@1.0"}
    config = boot_of(model_store)
    # TorchServe itself passes over most of what it cannot load.
    config = config.replace("load_models=", "load_models=broken=broken-1.0,no=no-1.0,")

    with serving(model_store, config) as (server, addresses):
        metrics = TorchServeMetrics(addresses.metrics)
        await_ready(server, old, new, other)
        request = Request(content_type="application/octet-stream", body=b"hello")
        answer = server.predict(old, request)

        assert found(server) == {
            "echo": [("1.10", False), ("1.9", True)],
            "other-name": [("2.0", True)],
        }
        assert answer == (200, b"hello")
        failing = Request(content_type=request.content_type, body=b"fail")
        assert server.predict(other, failing)[0] == 503
        counts = metrics.counts()
        assert counts is not None
        assert (counts.requests > counts.errors, counts.errors) == (True, 1)
    assert metrics.counts() is None


def test_a_host_with_settings_of_its_own_goes_back_and_survives_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_store, store = tmp_path / "model_store", (tmp_path / "store").as_uri()
    model_store.mkdir()
    config = tmp_path / "config.properties"
    config.write_text("# of the operator\n")
    for version in ("1.0", "1.1"):
        registry = tmp_path / version
        make_model(registry, "tiny", version=version)
        publish = ["publish", "--registry", str(registry), "--store", store]
        assert main(publish) == 0

    def sync(at: Serving, *arguments: str, default: str = "latest") -> str:
        """Run ``ms sync`` with a profile for the server *at*."""
        profile = tmp_path / "sync.yaml"
        document = {
            "schema": 1,
            "store": store,
            "model_store": str(model_store),
            "torchserve": {
                "management": at.addresses.management,
                "inference": at.addresses.inference,
                "metrics": at.addresses.metrics,
                "config": str(config),
            },
            "models": {"tiny": {"default": default, "batch_size": 3, "workers": 1}},
            "policy": {"drain_s": 0, "soak_s": 0.5},
        }
        profile.write_text(json.dumps(document))
        status = main(["sync", *arguments, "--profile", str(profile)])
        output = capsys.readouterr()
        assert status == 0, output.err
        return output.out

    with serving(model_store) as at:
        sync(at, "apply", "--yes", default="1.0")
        client = Client(f"{at.addresses.inference}/predictions/tiny")
        sync(at, "apply", "--yes")
        assert found(at.api) == {"tiny": [("1.1", True)]}
        assert at.api.describe("tiny")[0].batch_size == 3
        (tmp_path / "store").rename(tmp_path / "lost")
        sync(at, "rollback", "tiny", "--why", "a test")
        assert found(at.api) == {"tiny": [("1.0", True)]}
        statuses = client.end()
        assert len(statuses) > 10
        assert set(statuses) == {200}

    with serving(model_store, boot_of(model_store)) as at:
        await_ready(at.api, Ref.parse("tiny@1.0"))
        assert found(at.api) == {"tiny": [("1.0", True)]}
        assert at.api.describe("tiny")[0].batch_size == 3
        (tmp_path / "lost").rename(tmp_path / "store")
        assert "nothing to do" in sync(at, "plan")
        assert ": in sync, healthy" in sync(at, "status", "--ready")
