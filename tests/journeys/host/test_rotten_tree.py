"""Files of one release that have rotted on the disk stop no other model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from fakes.host import Host, Models, Recorder
from fakes.server import FakeServer
from model_servers.adapters.trees import LocalTrees
from model_servers.core.entries import Layout
from model_servers.core.guards import Override
from model_servers.core.names import Ref
from model_servers.core.profile import WantedModel
from model_servers.errors import OutsideError
from model_servers.journeys.host.status import Status
from model_servers.journeys.host.verify import Verify
from servers.nvml import Simulated

CAT = Ref.parse("cat@1.0.0")
BOTH: Models = {"cat": "1.0.0", "dog": "1.0.0"}
REACHED = {"cat": ("1.0.0", ["1.0.0"]), "dog": ("1.0.0", ["1.0.0"])}


class _Quiet:
    def checking(self, key: str, size_bytes: int) -> Callable[[int], None]:
        return lambda count: None


def _garble(file: Path) -> None:
    file.write_bytes(b"\xff: [")


@pytest.fixture
def host(host: Host, gpus: Simulated) -> Host:
    """A host with a GPU that serves cat@1.0.0; dog@1.0.0 has some files like it."""
    gpus.shows([(9000, 0)])
    host.apply({"cat": "1.0.0"})
    return host


def _synced(host: Host, models: Models = BOTH) -> None:
    """Plan and apply as `ms sync apply` does; what fails is told, and is no bug."""
    wanted = {name: WantedModel.of(one) for name, one in models.items()}
    found = host.planning.run(wanted, allow=())
    with suppress(OutsideError):
        host.sync.apply(found.plan, found.resolved, Recorder())
    Status(planning=host.planning).run(wanted, ask=True)


@pytest.mark.parametrize(
    "rots",
    [
        pytest.param(Path.unlink, id="gone"),
        pytest.param(lambda file: file.write_bytes(b""), id="empty"),
        pytest.param(_garble, id="other bytes"),
    ],
)
@pytest.mark.parametrize(
    "path", ["MAR-INF/MANIFEST.json", "model-config.yaml", "MAR-INF/golden/case.yaml"]
)
@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda *_: None, id="nothing else"),
        pytest.param(FakeServer.kill_workers, id="no worker"),
        pytest.param(FakeServer.unregister, id="not served"),
    ],
)
def test_the_other_model_comes_and_verify_mends_the_rest(
    host: Host,
    rots: Callable[[Path], None],
    path: str,
    happens: Callable[[FakeServer, str, str], None],
) -> None:
    [tree] = (one for one in _trees(host).iterdir() if one.is_dir())
    file = tree / path
    file.chmod(0o644)
    rots(file)
    happens(host.server, "cat", "1.0.0")

    _synced(host)

    assert host.state()["dog"] == REACHED["dog"]
    assert host.model_store.golden_cases(Ref.parse("dog@1.0.0"))
    _mended(host)
    _synced(host)
    assert host.state() == REACHED


def test_an_upgrade_takes_no_rotten_file_along(host: Host) -> None:
    [tree] = (one for one in _trees(host).iterdir() if one.is_dir())
    config = tree / "model-config.yaml"
    released = config.read_bytes()
    config.chmod(0o644)
    config.write_bytes(bytes(len(released)))

    _synced(host, {"cat": "1.10.0", "dog": "1.0.0"})

    assert host.state()["cat"] == ("1.10.0", ["1.10.0"])
    found = {one.read_bytes() for one in _trees(host).glob("*/model-config.yaml")}
    assert found == {released, bytes(len(released))}


@pytest.mark.parametrize("layout", [Layout.DIR], indirect=True)
def test_settings_of_this_host_that_have_rotted_come_anew(host: Host) -> None:
    models: Models = {**BOTH, "cat": {"default": "1.0.0", "workers": 2}}
    host.apply({"cat": models["cat"]}, None, Override.DOWNTIME)
    [settings] = (host.root / ".model-servers" / "work").glob("*/overlay.json")
    _garble(settings)

    _synced(host, models)

    assert host.state() == REACHED
    host.apply(models, None, Override.DOWNTIME)
    assert host.model_store.installed()[CAT].overlay["minWorkers"] == 2


def _trees(host: Host) -> Path:
    return host.root / ".model-servers" / "trees"


def _mended(host: Host) -> None:
    verify = Verify(
        trees=LocalTrees(host.root, python=sys.executable),
        store=host.store,
        releases=host.sync.releases,
    )
    assert not verify.run(_Quiet()).unmended
