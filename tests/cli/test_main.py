"""How ``ms`` ends, whatever its commands raise."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

import model_servers
from model_servers.cli import fetch
from model_servers.cli.main import main

TOOLS = Path(model_servers.__file__).parents[1]


@pytest.fixture
def ends_with(monkeypatch, capsys):
    """Let a command raise something; give the exit status, and what is said."""

    def run(error):
        def fail(*_):
            error()

        monkeypatch.setattr(fetch, "fetch", fail)
        return main(["fetch", "digits"]), capsys.readouterr().err

    return run


def test_an_error_that_nobody_expected_is_a_bug(ends_with):
    status, err = ends_with(lambda: {}["what"])

    assert status == 70
    assert "KeyError: 'what'" in err
    assert "this is a bug in model-servers" in err


def test_ctrl_c_within_a_lock_is_no_bug(ends_with):
    """As CPython has it where the signal comes between two steps of an Event."""

    def interrupted():
        lock = threading.Lock()
        with lock:
            lock.release()
            raise KeyboardInterrupt

    status, err = ends_with(interrupted)

    assert (status, err) == (
        130,
        "ms: interrupted; run the same command again to go on\n",
    )


@pytest.mark.parametrize("length", [10, 100_000], ids=["at the end", "at once"])
@pytest.mark.parametrize(
    ("full", "told"),
    [
        (
            "/dev/full",
            (
                3,
                "ms: the answer cannot be written to stdout: No space left on device\n",
            ),
        ),
        ("/dev/null", (0, "")),
    ],
)
def test_an_answer_that_cannot_be_written_is_told(length, full, told):
    program = (
        "import sys; from model_servers.cli import fetch, main; "
        f"fetch.fetch = lambda *_: print('x' * {length}) or 0; "
        "sys.argv = ['ms', 'fetch', 'digits']; main.run()"
    )

    with Path(full).open("w") as stdout:
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(TOOLS)},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert (ended.returncode, ended.stderr) == told
