"""What every model server promises, asked of the fake and of a real TorchServe."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.model_store import write_entry
from fakes.server import FakeServer
from model_servers.adapters.torchserve_api import TorchServeApi
from model_servers.adapters.torchserve_process import torchserve
from model_servers.core.golden import Request
from model_servers.core.host import ServedVersion
from model_servers.core.names import Ref
from model_servers.errors import OutsideError
from model_servers.ports import ModelServer

ECHO_1 = Ref.parse("echo@1.0")
ECHO_2 = Ref.parse("echo@1.10")
OTHER = Ref.parse("other-name@2.0")
ABSENT = Ref.parse("echo@9.9")
LIMIT_S = 60.0


@pytest.fixture(scope="module")
def model_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model_store")
    for ref in (ECHO_1, ECHO_2, OTHER):
        write_entry(folder, ref)
    return folder


@pytest.fixture(scope="module")
def real(
    model_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TorchServeApi]:
    logs = tmp_path_factory.mktemp("torchserve") / "logs"
    with torchserve(model_store, logs=logs) as addresses:
        yield TorchServeApi(
            management=addresses.management, inference=addresses.inference
        )


@pytest.fixture(
    params=[
        "fake",
        pytest.param("torchserve", marks=pytest.mark.torchserve),
    ]
)
def server(request: pytest.FixtureRequest, model_store: Path) -> Iterator[ModelServer]:
    """A server of each kind that serves nothing."""
    if request.param == "fake":
        fake = FakeServer(model_store)
        fake.script(
            ECHO_1.entry,
            ready_after=2,
            answer=lambda sent: (
                (503, b"") if sent.body == b"fail" else (200, sent.body)
            ),
        )
        yield fake
        return
    real: TorchServeApi = request.getfixturevalue("real")
    yield real
    for name, versions in real.served().items():
        for version in sorted(versions, key=lambda one: one.is_default):
            real.unregister(name, version.version)


def _described(server: ModelServer, ref: Ref) -> ServedVersion:
    (found,) = [
        one for one in server.describe(ref.name) if one.version == str(ref.version)
    ]
    return found


def _await(
    server: ModelServer, ref: Ref, accepted: Callable[[ServedVersion], bool]
) -> ServedVersion:
    deadline = time.monotonic() + LIMIT_S
    while not accepted(found := _described(server, ref)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def _ready(server: ModelServer, ref: Ref) -> ServedVersion:
    return _await(server, ref, lambda one: one.is_ready)


def _request(body: bytes) -> Request:
    return Request(content_type="application/octet-stream", body=body)


def test_nothing_is_served_at_first(server: ModelServer) -> None:
    assert server.served() == {}
    assert server.describe("echo") == ()


def test_a_registered_version_is_described_as_its_config_asks(
    server: ModelServer,
) -> None:
    server.register(ECHO_1)

    found = _ready(server, ECHO_1)

    assert len(found.pids) == 1
    assert found == ServedVersion(
        version="1.0",
        location="echo-1.0",
        is_default=True,
        workers_ready=1,
        workers=1,
        batch_size=3,
        max_batch_delay_ms=7,
        response_timeout_s=33,
        pending_requests=0,
        pids=found.pids,
        device="cpu",
    )
    assert server.served() == {"echo": (found,)}


def test_registering_does_not_wait_for_workers(server: ModelServer) -> None:
    server.register(ECHO_1)

    assert not _described(server, ECHO_1).is_ready
    assert _described(server, ECHO_1).workers == 1


def test_the_first_version_is_the_default_at_once_and_stays_it(
    server: ModelServer,
) -> None:
    server.register(ECHO_2)
    server.register(ECHO_1)

    assert _described(server, ECHO_2).is_default
    assert not _described(server, ECHO_1).is_default


def test_names_with_a_hyphen_and_several_models_are_told_apart(
    server: ModelServer,
) -> None:
    server.register(OTHER)
    server.register(ECHO_1)

    served = server.served()

    assert {
        name: [one.location for one in found] for name, found in served.items()
    } == {
        "echo": ["echo-1.0"],
        "other-name": ["other-name-2.0"],
    }


def test_the_default_moves_to_another_version(server: ModelServer) -> None:
    server.register(ECHO_1)
    server.register(ECHO_2)

    server.set_default(ECHO_2)

    assert [one.is_default for one in server.describe("echo")] == [False, True]


def test_the_default_cannot_be_unregistered_before_the_others(
    server: ModelServer,
) -> None:
    server.register(ECHO_1)
    server.register(ECHO_2)

    with pytest.raises(OutsideError, match="403"):
        server.unregister("echo", "1.0")

    assert [one.version for one in server.describe("echo")] == ["1.0", "1.10"]
    server.unregister("echo", "1.10")
    server.unregister("echo", "1.0")
    assert server.describe("echo") == ()


def test_unregistering_what_is_absent_is_done(server: ModelServer) -> None:
    server.unregister("echo", "1.0")
    server.register(ECHO_1)

    server.unregister("echo", "9.9")
    server.unregister("nobody", "1.0")

    assert list(server.served()) == ["echo"]


def test_registering_an_entry_that_is_not_there_is_refused(
    server: ModelServer,
) -> None:
    with pytest.raises(OutsideError, match=r"404.*echo-9\.9") as caught:
        server.register(ABSENT)

    assert caught.value.hint
    assert server.served() == {}


def test_registering_twice_is_refused(server: ModelServer) -> None:
    server.register(ECHO_1)

    with pytest.raises(OutsideError, match="409"):
        server.register(ECHO_1)

    assert [one.version for one in server.describe("echo")] == ["1.0"]


def test_changing_a_version_that_is_absent_is_refused(server: ModelServer) -> None:
    server.register(ECHO_1)

    with pytest.raises(OutsideError, match="404"):
        server.set_default(ABSENT)
    with pytest.raises(OutsideError, match="404"):
        server.scale("echo", "9.9", 1)

    assert _described(server, ECHO_1).is_default


def test_workers_go_and_come_back(server: ModelServer) -> None:
    server.register(ECHO_1)
    before = _ready(server, ECHO_1)

    server.scale("echo", "1.0", 0)

    none = _described(server, ECHO_1)
    assert (none.workers, none.workers_ready, none.pids) == (0, 0, ())
    assert not none.is_ready
    server.scale("echo", "1.0", 1)
    after = _ready(server, ECHO_1)
    assert after.workers == 1
    assert after.pids != before.pids


def test_a_prediction_is_answered_by_exactly_the_version_asked(
    server: ModelServer,
) -> None:
    server.register(ECHO_1)
    _ready(server, ECHO_1)

    status, body = server.predict(ECHO_1, _request(b"\x00\xffbytes"))

    assert (status, body) == (200, b"\x00\xffbytes")
    assert server.predict(ECHO_2, _request(b"other version"))[0] == 404
    assert server.predict(OTHER, _request(b"other model"))[0] == 404


def test_a_failed_prediction_is_an_answer_too(server: ModelServer) -> None:
    server.register(ECHO_1)
    _ready(server, ECHO_1)

    status, _ = server.predict(ECHO_1, _request(b"fail"))

    assert status == 503
    assert server.predict(ECHO_1, _request(b"next")) == (200, b"next")


def test_a_version_without_workers_answers_that_it_cannot(
    server: ModelServer,
) -> None:
    server.register(ECHO_1)
    _ready(server, ECHO_1)
    server.scale("echo", "1.0", 0)

    assert server.predict(ECHO_1, _request(b"hello"))[0] == 503


@pytest.mark.torchserve
def test_a_link_is_registered_under_its_own_name(
    real: TorchServeApi, model_store: Path
) -> None:
    ref = Ref.parse("link@1.0")
    write_entry(model_store, ref, folder=".hidden")
    (model_store / "link-1.0").symlink_to(".hidden")

    real.register(ref)

    assert _ready(real, ref).location == "link-1.0"
    assert real.predict(ref, _request(b"hello")) == (200, b"hello")
    real.unregister("link", "1.0")
    assert (model_store / ".hidden" / "service.py").is_file()
    assert (model_store / "link-1.0").is_symlink()


@pytest.mark.torchserve
def test_an_address_that_knows_no_predictions_blames_no_model(
    model_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    logs = tmp_path_factory.mktemp("torchserve") / "logs"
    with torchserve(model_store, logs=logs) as addresses:
        api = TorchServeApi(
            management=addresses.management, inference=addresses.metrics
        )
        with pytest.raises(OutsideError) as caught:
            api.predict(ECHO_1, _request(b"hello"))

    assert str(caught.value) == (
        f"{addresses.metrics} is no inference API of TorchServe: it does not know "
        "/predictions"
    )
    assert caught.value.hint == "correct torchserve.inference in the host profile"


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda api: api.served(), id="served"),
        pytest.param(lambda api: api.describe("echo"), id="describe"),
        pytest.param(lambda api: api.register(ECHO_1), id="register"),
        pytest.param(lambda api: api.scale("echo", "1.0", 1), id="scale"),
        pytest.param(lambda api: api.set_default(ECHO_1), id="set_default"),
        pytest.param(lambda api: api.unregister("echo", "1.0"), id="unregister"),
        pytest.param(lambda api: api.predict(ECHO_1, _request(b"")), id="predict"),
    ],
)
def test_a_torchserve_that_does_not_run_is_told_as_such(
    call: Callable[[TorchServeApi], object],
) -> None:
    address = f"http://127.0.0.1:{_closed_port()}"
    api = TorchServeApi(management=address, inference=address)

    with pytest.raises(OutsideError) as caught:
        call(api)

    assert str(caught.value).startswith(f"TorchServe does not answer at {address}: ")
    assert "refused" in str(caught.value)
    assert caught.value.hint == (
        "start TorchServe, or correct torchserve: in the host profile; "
        "`ms sync doctor` looks at both"
    )
