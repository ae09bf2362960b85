"""A clone to walk through, and a second terminal."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from docs.walk import CHECKOUT

START_S = 120


@pytest.fixture
def clone(tmp_path):
    """Give a clone of what is here, changes that are not committed included."""
    clone = tmp_path / "clone"
    _git(tmp_path, "clone", "--quiet", "--no-hardlinks", str(CHECKOUT), str(clone))
    files = _git(CHECKOUT, "ls-files", "--cached", "--others", "--exclude-standard")
    for name in files.splitlines():
        source, target = CHECKOUT / name, clone / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    _git(clone, "config", "user.name", "A Contributor")
    _git(clone, "config", "user.email", "contributor@example.org")
    _git(clone, "add", "--all")
    _git(clone, "commit", "--quiet", "--allow-empty", "--message", "As it is")
    _git(clone, "switch", "--quiet", "--force-create", "main")
    return clone


def _git(folder, *arguments):
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def environment(clone):
    """Give the environment of an activated `.venv`, with this checkout's `ms`."""
    script = clone.parent / "bin" / "ms"
    script.parent.mkdir()
    script.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={CHECKOUT}/tools\n"
        f'exec {sys.executable} -m model_servers "$@"\n'
    )
    script.chmod(0o755)
    path = f"{script.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "CI": "true"}


class Terminal:
    """A command that runs beside the others."""

    def __init__(self, step, folder, environment):
        self._process = subprocess.Popen(
            f"exec {step.command}",
            shell=True,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._until, self._ready = step.until, threading.Event()
        self._lines = []
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        assert self._ready.wait(START_S), self._lines
        assert self._process.poll() is None, "".join(self._lines)

    def end(self, how):
        """End it and all that it has started, and give its exit status."""
        os.killpg(self._process.pid, how)
        status = self._process.wait(30)
        self._listener.join()
        self._process.stdout.close()
        return status

    def _listen(self):
        for line in self._process.stdout:
            self._lines.append(line)
            if self._until in line:
                self._ready.set()
        self._ready.set()


@pytest.fixture
def second_terminal(clone, environment):
    """Start commands that run until the test ends, as Ctrl-C would end them."""
    started = []

    def start(step):
        started.append(Terminal(step, clone, environment))

    yield start
    for terminal in started:
        assert terminal.end(signal.SIGINT) == 0
