"""Findings fit to be shown: few of a kind, short, in one line, without secrets.

They repeat what a stranger wrote, on terminals and in logs that obey some of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from model_servers.core.secrets import without_secrets

if TYPE_CHECKING:
    from model_servers.core.findings import Finding

_MAX_ALIKE = 20
"""More findings of one kind in one file tell nobody more."""

_MAX_CHARACTERS = 500


def presentable(findings: Iterable[Finding]) -> list[Finding]:
    """Give findings by file and place, as they can be shown."""
    in_order = sorted(findings, key=lambda finding: finding.order)
    return [
        replace(
            finding,
            path=visible(finding.path),
            where=_short(finding.where),
            message=_short(finding.message),
            fix=_short(finding.fix),
        )
        for finding in _first_alike(in_order)
    ]


def visible(text: str) -> str:
    r"""Escape what a terminal would obey, and line feeds, which forge other lines.

    >>> visible("digits"), visible("a\nb\x1b[31m")
    ('digits', 'a\\nb\\x1b[31m')
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in text
    )


def size(size_bytes: int) -> str:
    """Write a number of bytes with the unit that keeps it short.

    >>> size(999), size(2048), size(600 * 2**20)
    ('999 B', '2.0 KiB', '600.0 MiB')
    """
    value, units = float(size_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def _short(text: str) -> str:
    shown = visible(without_secrets(text))
    is_short = len(shown) <= _MAX_CHARACTERS
    return shown if is_short else f"{shown[:_MAX_CHARACTERS]}…"


def _first_alike(findings: Iterable[Finding]) -> Iterator[Finding]:
    seen: Counter[tuple[str, str, str]] = Counter()
    for finding in findings:
        kind = (finding.path, finding.code.value, finding.excepted_because)
        seen[kind] += 1
        if seen[kind] <= _MAX_ALIKE:
            yield finding
        elif seen[kind] == _MAX_ALIKE + 1:
            yield replace(
                finding,
                where="",
                message="there are more findings of this kind in the file",
                fix="mend those above first",
            )
