"""A host with a real TorchServe that registers archives, and changes its layout."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from model_servers.cli.main import main
from model_servers.core.names import Ref
from torchserve.one_host import Client, Serving, await_ready, boot_of, found, serving
from zoo import make_model, write_wheel

pytestmark = pytest.mark.torchserve

REQUIRING = """\
import tinylib

from base_handler import handler_factory


def init_function():
    assert tinylib.NUMBER == 42
    return lambda batch: batch


handler = handler_factory(init_function=init_function)
"""

BROKEN = """\
from base_handler import handler_factory


def init_function():
    raise RuntimeError("no luck today")


handler = handler_factory(init_function=init_function)
"""


@dataclass(frozen=True)
class Host:
    """The files of one host, and what is typed on it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def model_store(self) -> Path:
        return self.folder / "model_store"

    def publish(self, version: str, **model: object) -> None:
        registry = self.folder / version
        make_model(registry, "tiny", version=version, **model)  # type: ignore[arg-type]
        store = (self.folder / "store").as_uri()
        publish = ["publish", "--registry", str(registry), "--store", store]
        assert main(publish) == 0

    def sync(self, at: Serving, *arguments: str, layout: str, ends: int = 0) -> str:
        """Run ``ms sync`` with a profile for the server *at*; give what it says."""
        profile, config = self.folder / "sync.yaml", self.folder / "config.properties"
        config.write_text("# of the operator\n")
        document = {
            "schema": 1,
            "store": (self.folder / "store").as_uri(),
            "model_store": str(self.model_store),
            "layout": layout,
            "torchserve": {
                "management": at.addresses.management,
                "inference": at.addresses.inference,
                "metrics": at.addresses.metrics,
                "config": str(config),
                "python": sys.executable,
            },
            "models": {"tiny": {"default": "latest", "batch_size": 3, "workers": 1}},
            "policy": {"drain_s": 0},
        }
        profile.write_text(json.dumps(document))
        status = main(["sync", *arguments, "--profile", str(profile)])
        output = self.capsys.readouterr()
        assert status == ends, output.err
        return output.out + output.err

    def visible(self) -> list[str]:
        return sorted(one.name for one in self.model_store.glob("[!.]*"))


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    (tmp_path / "model_store").mkdir()
    return Host(tmp_path, capsys)


def served_from(at: Serving) -> str:
    (one,) = at.api.describe("tiny")
    assert one.batch_size == 3
    return one.location


def test_a_host_changes_its_layout_both_ways_without_a_gap(host: Host) -> None:
    host.publish("1.0")
    with serving(host.model_store) as at:
        host.sync(at, "apply", "--yes", layout="dir")
        workers = at.api.describe("tiny")[0].pids
        client = Client(f"{at.addresses.inference}/predictions/tiny")

        shown = host.sync(at, "plan", layout="mar")
        assert "~ tiny@1.0  (TorchServe's next start is from tiny-1.0.mar" in shown
        host.sync(at, "apply", "--yes", layout="mar")
        assert (at.api.describe("tiny")[0].pids, served_from(at)) == (
            workers,
            "tiny-1.0",
        )
        assert "nothing to do" in host.sync(at, "plan", layout="mar")
        host.publish("1.1")
        host.sync(at, "apply", "--yes", layout="mar")
        assert served_from(at) == "tiny-1.1.mar"

        host.sync(at, "apply", "--yes", layout="dir")
        assert served_from(at) == "tiny-1.1.mar"
        statuses = client.end()
        assert len(statuses) > 10
        assert set(statuses) == {200}

    with serving(host.model_store, boot_of(host.model_store)) as at:
        await_ready(at.api, Ref.parse("tiny@1.1"))
        assert served_from(at) == "tiny-1.1"
        host.sync(at, "prune", "--keep", "0", "--yes", layout="dir")
        assert host.visible() == ["tiny-1.1"]
        assert "nothing to do" in host.sync(at, "plan", layout="dir")


def test_archives_serve_with_requirements_and_come_back_after_a_restart(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(host.folder / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(host.folder / "wheels"))
    requiring = {"handler_model.py": REQUIRING, "requirements.txt": "tinylib==1.0\n"}
    host.publish("1.0")
    with serving(host.model_store) as at:
        host.sync(at, "apply", "--yes", layout="mar")
        host.publish(
            "1.1",
            files=requiring,
            model={"build": {"requirements_file": "requirements.txt"}},
        )
        host.sync(at, "apply", "--yes", layout="mar")
        assert found(at.api) == {"tiny": [("1.1", True)]}
        assert served_from(at) == "tiny-1.1.mar"

        host.publish("1.2", files={"handler_model.py": BROKEN})
        said = host.sync(at, "apply", "--yes", layout="mar", ends=3)
        assert "tiny@1.2 cannot be loaded: " in said
        assert "no luck today" in said
        assert found(at.api) == {"tiny": [("1.1", True)]}

    (host.folder / "store").rename(host.folder / "lost")
    with serving(host.model_store, boot_of(host.model_store)) as at:
        await_ready(at.api, Ref.parse("tiny@1.1"))
        assert served_from(at) == "tiny-1.1.mar"
        assert ", healthy" in host.sync(at, "status", "--ready", layout="mar")
        host.sync(at, "rollback", "tiny", layout="mar")
        assert served_from(at) == "tiny-1.0.mar"


def test_an_archive_that_has_rotted_is_put_together_again_before_it_is_registered(
    host: Host,
) -> None:
    host.publish("1.0")
    with serving(host.model_store) as at:
        host.sync(at, "apply", "--yes", layout="mar")
    archive = host.model_store / "tiny-1.0.mar"
    good = archive.read_bytes()
    archive.chmod(0o644)
    archive.write_bytes(good[:9000] + bytes([good[9000] ^ 1]) + good[9001:])

    with serving(host.model_store, boot_of(host.model_store)) as at:
        assert at.api.served() == {}
        assert host.sync(at, "plan", layout="mar").count("register tiny@1.0") == 1
        host.sync(at, "apply", "--yes", layout="mar")

        assert served_from(at) == "tiny-1.0.mar"
        assert archive.read_bytes() == good
