"""Figures and how they are compared: medians, ratios within a round, gates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Runs = Mapping[str, Sequence[float]]
"""Results of one row by contender, one for each round."""


def turns(names: Iterable[str], rounds: int) -> Iterator[str]:
    """Give each name once a round, each round starting with another one.

    >>> list(turns("abc", 2))
    ['a', 'b', 'c', 'b', 'c', 'a']
    """
    order = list(names)
    for number in range(rounds):
        start = number % len(order)
        yield from order[start:] + order[:start]


def ratio(runs: Runs, name: str, other: str) -> float:
    """Give the median of the ratios within a round, which a busy machine spares.

    >>> ratio({"a": [1, 4, 9], "b": [1, 2, 3]}, "a", "b")
    2.0
    """
    pairs = zip(runs[name], runs[other], strict=True)
    return float(median(one / two for one, two in pairs))


@dataclass(frozen=True)
class Gate:
    """A number of the specification, and what this run found."""

    what: str
    found: float
    limit: float
    at_least: bool
    unit: str = ""
    why: str = ""
    """What the run knows about why it was not reached."""

    @property
    def is_met(self) -> bool:
        """Whether the run reached it."""
        if self.at_least:
            return self.found >= self.limit
        return self.found <= self.limit

    def row(self) -> str:
        """Write it as a row of a table."""
        verdict = "met" if self.is_met else "**not met**"
        bound = "at least" if self.at_least else "at most"
        return (
            f"| {self.what} | {bound} {self.limit:.2f}{self.unit}"
            f" | {self.found:.2f}{self.unit} | {verdict} |"
        )
