"""Walks through a page of docs/: runs its commands, compares what they show."""

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

CHECKOUT = Path(__file__).parents[2]

_BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```\n", re.DOTALL
)
NOTHING: Mapping[str, str] = MappingProxyType({})

_EXPORT = re.compile(r"export (\w+)=(.*)")


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
    """Read the page; blocks of other languages are not run, nor those that say why."""
    for block in _BLOCK.finditer(text):
        note, body = block["note"] or "", block["text"]
        if note.startswith("write: "):
            yield Write(note.removeprefix("write: "), body)
        elif block["kind"] == "console" and not note.startswith(("needs: ", "run by ")):
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


def walk(
    page: str,
    folder: Path,
    environment: Mapping[str, str],
    *,
    start: Callable[[Start], None] | None = None,
    instead: Mapping[str, str] = NOTHING,
) -> int:
    """Do what docs/*page* says; give how many commands of ``ms`` it has.

    A command may fail only where the page then shows its status, with ``echo $?``.

    Args:
        page: its name.
        folder: where its commands run.
        environment: of its commands.
        start: starts what runs in a second terminal.
        instead: what stands on the page, by what is taken instead of it.
    """
    environment = dict(environment)
    commands, status, output = 0, 0, ""
    text = (CHECKOUT / "docs" / page).read_text("utf-8")
    for told, meant in instead.items():
        text = text.replace(told, meant)
    for step in steps(text):
        match step:
            case Write(path, content):
                (folder / path).write_text(content, "utf-8")
            case Start():
                assert start is not None, "nothing can be started for this page"
                start(step)
            case Run(command, shown) if export := _EXPORT.fullmatch(command):
                assert not shown
                told = _done(f"printf %s {export[2]}", folder, environment)
                environment[export[1]] = told.stdout
            case Run("echo $?", shown):
                assert (shown.strip(), status != 0) == (str(status), True)
                status = 0
            case Run(command, shown):
                assert status == 0, f"failed, and the page does not say so: {output}"
                done = _done(command, folder, environment)
                status = done.returncode
                output = f"{done.stderr}{done.stdout}"
                assert re.search(f"^{pattern(shown)}", output, re.DOTALL | re.M), (
                    f"$ {command}\n{output}\nthe page shows:\n{shown}"
                )
                commands += command.startswith("ms ")
    assert status == 0
    return commands


def _done(
    command: str, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        shell=True,
        executable="/bin/bash",
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
