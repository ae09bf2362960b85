"""Every command of docs/contributing-a-model.md works, and shows what it says there."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "contributing-a-model.md"
START_S = 120

pytestmark = pytest.mark.torchserve

_BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```\n", re.DOTALL
)


@dataclass(frozen=True)
class Write:
    """A file whose content stands on the page."""

    path: str
    content: str


@dataclass(frozen=True)
class Run:
    """A command and what the page says it shows."""

    command: str
    shown: str


@dataclass(frozen=True)
class Start:
    """A command that runs in a second terminal, once it has said *until*."""

    command: str
    until: str


def steps(text: str) -> Iterator[Write | Run | Start]:
    """Read the page; blocks without a language are not run."""
    for block in _BLOCK.finditer(text):
        note, body = block["note"] or "", block["text"]
        if note.startswith("write: "):
            yield Write(note.removeprefix("write: "), body)
        elif block["kind"] == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                if note:
                    yield Start(command, note.rpartition("until: ")[2])
                else:
                    yield Run(command, shown)


def pattern(shown: str) -> str:
    """Turn what the page shows into a pattern: `...` stands for anything."""
    parts = re.split(r" *\.\.\. *", shown.strip())
    return ".*".join(re.escape(part) for part in parts)


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
    _git(clone, "branch", "--force", "main")
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


@pytest.fixture
def second_terminal(clone, environment):
    """Start commands that run until the test ends, as Ctrl-C would end them."""
    started = []

    def start(step):
        process = subprocess.Popen(
            f"exec {step.command}",
            shell=True,
            cwd=clone,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        lines, ready = [], threading.Event()

        def listen():
            for line in process.stdout:
                lines.append(line)
                if step.until in line:
                    ready.set()
            ready.set()

        listener = threading.Thread(target=listen)
        listener.start()
        started.append((process, listener))
        assert ready.wait(START_S), lines
        assert process.poll() is None, "".join(lines)

    yield start
    for process, listener in started:
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 0
        listener.join()
        process.stdout.close()


def test_a_contributor_gets_from_nothing_to_a_pull_request(
    clone, environment, second_terminal
):
    commands = 0
    for step in steps(PAGE.read_text("utf-8")):
        match step:
            case Write(path, content):
                (clone / path).write_text(content, "utf-8")
            case Start():
                second_terminal(step)
            case Run(command, shown):
                done = subprocess.run(
                    command,
                    check=False,
                    shell=True,
                    executable="/bin/bash",
                    cwd=clone,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=240,
                )
                output = f"{done.stderr}{done.stdout}"
                assert done.returncode == 0, f"{command}\n{output}"
                assert re.search(f"^{pattern(shown)}", output, re.DOTALL | re.M), (
                    f"$ {command}\n{output}\nthe page shows:\n{shown}"
                )
                commands += command.startswith("ms ")

    assert commands < 14
