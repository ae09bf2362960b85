"""A journal in memory."""

from __future__ import annotations

from collections.abc import Iterable


class MemoryJournal:
    """Lines in a list."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def lines(self) -> list[str]:
        return list(self.written)

    def add(self, line: str) -> None:
        self.written.append(line)

    def replace(self, lines: Iterable[str]) -> None:
        self.written = list(lines)
