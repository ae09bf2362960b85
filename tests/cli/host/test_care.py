"""`ms sync doctor`, `verify` and `prune` on a host with a real TorchServe."""

from __future__ import annotations

import json
import sys

import pytest

from fakes.model_store import write_entry
from model_servers.adapters.model_store import LocalModelStore
from model_servers.adapters.releases import read_release
from model_servers.adapters.torchserve_process import torchserve
from model_servers.cli.main import main
from model_servers.core.names import Ref
from zoo import checkpoint_of, make_model

SNAKE = Ref.parse("snake@1.0.0")
WEIGHTS = checkpoint_of(3968)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A TorchServe, its model store, and two profiles that name both.

    ``sync.yaml`` asks for a model, ``none.yaml`` for none.
    """
    folder = tmp_path_factory.mktemp("host")
    make_model(folder / "registry", "snake", files={"checkpoint.pt": WEIGHTS})
    (folder / "model_store").mkdir()
    store = (folder / "store").as_uri()
    publish = ["publish", "--registry", str(folder / "registry"), "--store", store]
    assert main(publish) == 0
    with torchserve(folder / "model_store", logs=folder / "logs") as addresses:
        profile = {
            "schema": 1,
            "store": store,
            "model_store": str(folder / "model_store"),
            "torchserve": {
                "management": addresses.management,
                "inference": addresses.inference,
            },
            "models": {"snake": "latest"},
        }
        (folder / "sync.yaml").write_text(json.dumps(profile))
        (folder / "none.yaml").write_text(json.dumps({**profile, "models": {}}))
        yield folder, addresses


@pytest.fixture
def ms(host, capsys):
    def run(*arguments, profile="sync.yaml"):
        status = main(["sync", *arguments, "--profile", str(host[0] / profile)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def installed(host):
    """Have the release on the disk, and give the folder of its tree."""
    root = host[0] / "model_store"
    store = LocalModelStore(root, python=sys.executable)
    (archive,) = host[0].glob("store/models/snake/1.0.0/*.mar")
    (document,) = host[0].glob("store/models/snake/1.0.0/release.json")

    def chunks(offset, length):
        yield archive.read_bytes()[offset : offset + length]

    release = read_release(document.read_bytes(), shown_as="release.json")
    store.install(release, chunks=chunks, on_bytes=lambda count: None)
    return root / ".model-servers" / "trees" / release.archive.sha256


@pytest.mark.torchserve
def test_doctor_sees_how_torchserve_runs(ms, host):
    status, out, err = ms("doctor", "--json")

    found = {one["name"]: (one["state"], one["found"]) for one in json.loads(out)}
    assert status == 0, (out, err)
    assert found["version"] == ("ok", "0.12.0")
    assert found["snapshots"] == ("ok", "off")
    assert found["model API"] == ("ok", "on")
    assert found["tokens"] == ("ok", "off")
    assert found["management"] == ("ok", host[1].management)
    assert found["temp path"][1].startswith(str(host[1].temp))


@pytest.mark.torchserve
def test_verify_looks_mends_and_then_has_nothing_to_do(ms, host):
    weights = installed(host) / "checkpoint.pt"
    weights.chmod(0o644)
    weights.write_bytes(b"rotten" + WEIGHTS[6:])

    looked, out, _ = ms("verify", "--check")
    assert (looked, weights.read_bytes()[:6]) == (1, b"rotten")
    assert "! snake@1.0.0: checkpoint.pt: nothing was changed" in out
    mended, out, _ = ms("verify")
    assert (mended, weights.read_bytes()) == (0, WEIGHTS)
    assert "~ snake@1.0.0: checkpoint.pt mended, 4.0 KiB fetched" in out
    status, out, _ = ms("verify", "--json")
    assert (status, json.loads(out)["rotten"]) == (0, [])


@pytest.mark.torchserve
def test_prune_shows_first_and_takes_away_only_when_told(ms, host):
    tree = installed(host)
    (host[0] / "model_store" / SNAKE.entry).unlink()

    assert f"tree without a version: {tree}" not in ms("prune")[1]
    status, out, _ = ms("prune", profile="none.yaml")
    assert (status, tree.is_dir()) == (0, True)
    assert f"  - tree without a version: {tree}  " in out
    assert out.endswith("add --yes to take them away\n")
    status, out, _ = ms("prune", "--yes", profile="none.yaml")
    assert (status, tree.is_dir()) == (0, False)
    assert " freed\n" in out
    assert ms("prune", profile="none.yaml")[1] == "nothing to prune\n"


@pytest.mark.torchserve
def test_what_serves_is_left_where_it_is(ms, host):
    folder, addresses = host
    entry = write_entry(folder / "model_store", Ref.parse("echo@1.0"))
    links = sorted((addresses.temp / "models").glob("*"))

    ms("prune", "--yes")

    assert entry.is_dir()
    assert sorted((addresses.temp / "models").glob("*")) == links
