"""Exact versions written into a requirements file, which else stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from model_servers.core.rules.packages import is_pinned

_REQUIREMENT = re.compile(
    r"(\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\s*\[[^\]\n]*\])?)"
    r"(?P<versions>\s*(?:\([^)\n]*\)|[<>=!~][^;#\\\n]*?)?)"
    r"(?=\s*(?:;|\s#|\\|\s--|$))"
)


def pinned(text: str, versions: Mapping[str, str]) -> str:
    """Give *text* with the version of each package that has no exact one.

    Args:
        text: of a requirements file.
        versions: by name, normalised; a package that is not there stays as it is.

    >>> pinned("numpy>=2 # fast", {"numpy": "2.1.0"})
    'numpy==2.1.0 # fast'
    """
    return "".join(_pinned_line(row, versions) for row in _rows(text))


def unpinned(text: str) -> list[str]:
    """List the packages without an exact version, by their normalised names."""
    found = (_open(row) for row in _rows(text))
    return [normalised(match["name"]) for match in found if match is not None]


def normalised(name: str) -> str:
    """Give a package's name as the indexes compare it.

    >>> normalised("Typing.Extensions")
    'typing-extensions'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _rows(text: str) -> Iterator[str]:
    """Yield each requirement with the lines that continue it."""
    row = ""
    for line in text.splitlines(keepends=True):
        row += line
        if not line.rstrip("\r\n").endswith("\\"):
            yield row
            row = ""
    if row:
        yield row


def _open(row: str) -> re.Match[str] | None:
    """Find a requirement in a row that says no exact version."""
    first = re.split(r"[\r\n]", row, maxsplit=1)[0]
    match = _REQUIREMENT.match(first)
    if match is None or is_pinned(re.sub(r"(^|\s)#.*|\\$", "", first)):
        return None
    return match


def _pinned_line(row: str, versions: Mapping[str, str]) -> str:
    match = _open(row)
    version = match and versions.get(normalised(match["name"]))
    if match is None or version is None:
        return row
    return f"{match[1]}=={version}{row[match.end() :]}"
