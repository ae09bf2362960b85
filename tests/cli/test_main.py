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


def test_a_pipe_that_breaks_and_is_not_stdout_is_a_bug(ends_with):
    def broken():
        raise BrokenPipeError

    assert ends_with(broken)[0] == 70


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


PROGRAM = (
    "import sys; from model_servers.cli import fetch, main; "
    "fetch.fetch = {command}; sys.argv = ['ms', 'fetch', 'digits']; main.run()"
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
    program = PROGRAM.format(command=f"lambda *_: print('x' * {length}) or 0")

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


@pytest.mark.parametrize(
    ("command", "status"), [("lambda *_: main.say('x') or 4", 4), ("max", 70)]
)
@pytest.mark.parametrize("to", ["/dev/full", "&-"])
def test_talk_that_cannot_be_written_changes_no_status(to, command, status):
    ended = redirected(f"2>{to}", PROGRAM.format(command=command))

    assert (ended.returncode, ended.stdout) == (status, "")


def test_a_stdout_that_is_closed_is_one_that_nobody_reads():
    """Its place is not taken by the next file that is opened."""
    command = "lambda *_: print('x') or open('/dev/null').fileno()"

    ended = redirected(">&-", PROGRAM.format(command=command))

    assert ended.returncode > 2, ended.stderr
    assert ended.stderr == ""


def test_a_command_that_its_reader_cuts_off_is_not_done():
    command = "lambda *_: [print('x' * 100) for _ in range(10**6)] and 0"

    ended = redirected(
        "| head -1; echo ${PIPESTATUS[0]}", PROGRAM.format(command=command)
    )

    assert (ended.stdout, ended.stderr) == (f"{'x' * 100}\n141\n", "")


def redirected(how, program):
    """Run a program below a shell."""
    return subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {how}', sys.executable, program],
        env={"PYTHONPATH": str(TOOLS)},
        capture_output=True,
        text=True,
        check=False,
    )
