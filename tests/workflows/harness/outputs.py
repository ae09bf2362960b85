"""What a step says to the runner: files and commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUMMARY_MAX_BYTES = 2**20
"""A longer summary of a step is dropped whole.

Source: https://docs.github.com/en/actions/reference/limits
"""

ANNOTATIONS_SHOWN = 10
"""Of each kind, for each step."""

_COMMAND = re.compile(r"::(error|warning|notice|add-mask)(?: ([^:].*?))?::(.*)")
_ESCAPES = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """One that GitHub shows."""

    kind: str
    properties: dict[str, str]
    message: str


def assignments(path: Path) -> dict[str, str]:
    """Read ``GITHUB_OUTPUT`` or ``GITHUB_ENV``.

    Raises:
        ValueError: a line is neither ``name=value`` nor in ``name<<END``.
    """
    found = {}
    lines = iter(path.read_text("utf-8").splitlines())
    for line in lines:
        name, equals, value = line.partition("=")
        start, heredoc, end = line.partition("<<")
        if heredoc and "=" not in start:
            found[start] = "\n".join(_until(lines, end))
        elif equals:
            found[name] = value
        elif line.strip():
            raise ValueError(f"unable to process file command: invalid format {line!r}")
    return found


def _until(lines: Iterator[str], end: str) -> Iterator[str]:
    for line in lines:
        if line == end:
            return
        yield line
    raise ValueError(f"matching delimiter not found {end!r}")


def annotations(log: str) -> list[Annotation]:
    """Give the annotations that GitHub shows of a step's output."""
    found: list[Annotation] = []
    for kind, properties, message in _commands(log):
        shown = sum(one.kind == kind for one in found)
        if kind != "add-mask" and shown < ANNOTATIONS_SHOWN:
            found.append(
                Annotation(
                    kind=kind,
                    properties=dict(_properties(properties)),
                    message=_unescaped(message),
                )
            )
    return found


def masks(log: str) -> list[str]:
    """Give the texts that a step asked to hide."""
    return [message for kind, _, message in _commands(log) if kind == "add-mask"]


def summary(path: Path) -> str:
    """Give a step's summary, as far as GitHub shows it."""
    body = path.read_bytes()
    return body.decode() if len(body) <= SUMMARY_MAX_BYTES else ""


def _commands(log: str) -> Iterator[tuple[str, str, str]]:
    for line in log.splitlines():
        match = _COMMAND.fullmatch(line.strip())
        if match:
            yield match[1], match[2] or "", match[3]


def _properties(text: str) -> Iterator[tuple[str, str]]:
    for pair in filter(None, text.split(",")):
        name, _, value = pair.partition("=")
        yield name, _unescaped(value)


def _unescaped(text: str) -> str:
    for escape, character in _ESCAPES:
        text = text.replace(escape, character)
    return text
