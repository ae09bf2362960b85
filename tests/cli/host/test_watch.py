"""`ms sync watch` as a process: its lock, its metrics, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import model_servers
from model_servers.adapters import metrics_out
from model_servers.adapters.model_store import LocalModelStore
from model_servers.cli.main import main
from model_servers.errors import OutsideError
from servers.management import guarded_management

LIMIT_S = 60.0
TOOLS = Path(model_servers.__file__).parents[1]


@pytest.fixture
def server(tmp_path):
    """A server that serves nothing, and its address."""
    with guarded_management(tmp_path / "key_file.json") as (address, server):
        yield address, server


@pytest.fixture
def profile(tmp_path, server):
    """A host that should serve nothing, and does."""
    key_file = tmp_path / "key_file.json"
    (tmp_path / "store").mkdir()
    address, _ = server
    path = tmp_path / "sync.yaml"
    path.write_text(
        json.dumps(
            {
                "schema": 1,
                "store": (tmp_path / "store").as_uri(),
                "model_store": str(tmp_path / "model_store"),
                "torchserve": {
                    "management": address,
                    "inference": address,
                    "key_file": str(key_file),
                },
                "models": {},
            }
        )
    )
    return path


@pytest.fixture
def watch(profile):
    """Start `ms sync watch`; what still runs is ended."""
    running = []

    def start(*arguments):
        command = [sys.executable, "-m", "model_servers", "sync", "watch"]
        command += ["--profile", str(profile), "--interval", "1", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(TOOLS)},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def value(text, name):
    """Give a metric's value, 0 if it is not there."""
    found = [line for line in text.splitlines() if line.startswith(name)]
    return float(found[0].split()[-1]) if found else 0.0


def awaited(file, name):
    """Wait until a metric in a file is above 0; give the file's text."""
    deadline = time.monotonic() + LIMIT_S
    while not (file.exists() and value(file.read_text(), name)):
        assert time.monotonic() < deadline, file.exists() and file.read_text()
        time.sleep(0.05)
    return file.read_text()


def rounds(outcome):
    return f'model_servers_sync_rounds_total{{outcome="{outcome}"}}'


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_syncs_writes_metrics_and_ends_well_when_told(watch, tmp_path, number):
    process = watch("--metrics-file", tmp_path / "ms.prom")
    text = awaited(tmp_path / "ms.prom", rounds("done"))

    process.send_signal(number)
    _, err = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 0, err
    assert err.splitlines()[-1] == "ms: stopped; what was at work is done"
    assert value(text, "model_servers_sync_last_success_timestamp_seconds") > 1e9
    assert (tmp_path / "ms.prom").stat().st_mode & 0o777 == 0o644


def at_work(watch, server, *arguments):
    """Start a watch, and have its first round wait for the server's answer."""
    asked, answers = threading.Event(), threading.Event()

    def wait():
        asked.set()
        answers.wait(LIMIT_S)

    server[1].before_answer = wait
    process = watch(*arguments)
    assert asked.wait(LIMIT_S)
    return process, answers


def test_a_round_at_work_is_done_before_it_ends(watch, server, tmp_path):
    process, answers = at_work(watch, server, "--metrics-file", tmp_path / "ms.prom")
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)

    answers.set()
    _, err = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 0, err
    assert value((tmp_path / "ms.prom").read_text(), rounds("done")) == 1


def test_a_second_signal_does_not_wait_for_the_round(watch, server):
    process, answers = at_work(watch, server)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)

    _, err = process.communicate(timeout=LIMIT_S)
    answers.set()

    assert process.returncode == 130
    assert "interrupted; run the same command again" in err


def test_what_its_starter_has_it_ignore_does_not_end_it(watch, tmp_path):
    """As ``nohup`` does with SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = watch("--metrics-file", tmp_path / "ms.prom")
    finally:
        signal.signal(signal.SIGHUP, before)
    awaited(tmp_path / "ms.prom", rounds("done"))
    process.send_signal(signal.SIGHUP)
    (tmp_path / "ms.prom").unlink()

    awaited(tmp_path / "ms.prom", rounds("done"))

    assert process.poll() is None


def test_talk_that_nobody_hears_any_more_ends_nothing(watch, profile, tmp_path):
    process = watch("--metrics-file", tmp_path / "ms.prom")
    awaited(tmp_path / "ms.prom", rounds("done"))
    process.stderr.close()
    process.stderr = None

    profile.write_text("schema: 1\n")
    awaited(tmp_path / "ms.prom", rounds("failed"))

    assert process.poll() is None


def test_another_ms_at_work_is_waited_for(watch, tmp_path):
    store = LocalModelStore(tmp_path / "model_store", python=sys.executable)
    with store.locked():
        process = watch("--metrics-file", tmp_path / "ms.prom")
        awaited(tmp_path / "ms.prom", rounds("busy"))
    awaited(tmp_path / "ms.prom", rounds("done"))

    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 0
    assert f"another ms is at work on {tmp_path}/model_store: process" in err


def test_a_profile_that_is_wrong_for_a_while_does_not_end_it(watch, profile, tmp_path):
    right = profile.read_text()
    profile.write_text("schema: 1\n")
    process = watch("--metrics-file", tmp_path / "ms.prom")
    awaited(tmp_path / "ms.prom", rounds("failed"))

    profile.write_text(right)

    awaited(tmp_path / "ms.prom", rounds("done"))
    assert process.poll() is None


def test_a_model_that_is_refused_is_told_with_what_to_do(watch, profile, tmp_path):
    document = json.loads(profile.read_text())
    profile.write_text(json.dumps({**document, "models": {"absent": "1.0"}}))

    process = watch("--metrics-file", tmp_path / "ms.prom")
    text = awaited(tmp_path / "ms.prom", rounds("refused"))
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 0, err
    assert value(text, "model_servers_sync_refused_models") == 1
    assert "ms: absent stays as it is: absent@1.0 is not released in " in err
    assert "hint: publish it with `ms publish absent`" in err


def test_metrics_can_be_asked_for():
    with metrics_out.served(0, lambda: "up 1\n") as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.read() == b"up 1\n"
            assert answer.headers["Content-Type"].startswith("text/plain; version=0")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/other")
        with (
            pytest.raises(OutsideError, match=f"port {port} cannot be used"),
            metrics_out.served(port, str),
        ):
            pass


@pytest.mark.parametrize("text", ["0", "soon"])
def test_an_interval_that_is_none_is_a_usage_error(text, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["sync", "watch", "--interval", text])

    assert caught.value.code == 2
    assert "--interval" in capsys.readouterr().err
