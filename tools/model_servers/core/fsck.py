"""What a check of a store looks at next, and what it has found."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model_servers.core.channels import channel_key, channel_names
from model_servers.core.index import INDEX_KEY
from model_servers.core.objects import Leftover
from model_servers.core.release import Release, release_key

if TYPE_CHECKING:
    from typing_extensions import Self

_CHECKPOINT = re.compile(r"checkpoints/sha256/([0-9a-f]{64})")
_LINE = re.compile(r"(\d{1,9}) (\S+)")


@dataclass(frozen=True)
class Fault:
    """An object that is not what it should be."""

    key: str
    message: str
    fix: str = "restore what is damaged from a copy of the store: ms mirror"


@dataclass(frozen=True)
class Orphan:
    """An object that nothing refers to; it takes space and does no harm."""

    key: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a check has found."""

    checked: int
    """Releases and checkpoints whose bytes were hashed."""

    remaining: int
    """How many were left out of a sample."""

    hashed_bytes: int
    faults: tuple[Fault, ...]
    orphans: tuple[Orphan, ...]
    leftovers: tuple[Leftover, ...]
    index_was_rebuilt: bool

    def to_mapping(self) -> dict[str, Any]:
        """Give JSON values."""
        return {
            "checked": self.checked,
            "remaining": self.remaining,
            "hashed_bytes": self.hashed_bytes,
            "faults": [
                {"key": one.key, "message": one.message, "fix": one.fix}
                for one in self.faults
            ],
            "orphans": [
                {"key": one.key, "size": one.size_bytes} for one in self.orphans
            ],
            "leftovers": [
                {"key": one.key, "abandoned": one.is_abandoned}
                for one in self.leftovers
            ],
            "index_was_rebuilt": self.index_was_rebuilt,
        }


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """In which round each object was found to be right last.

    A check that was interrupted goes on in its round; a sample takes those first
    that nobody has looked at for the most rounds, so that samples reach everything.
    """

    last: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Self:
        """Read the lines of a journal; what is no line of one is passed over."""
        found = (_LINE.fullmatch(line) for line in lines)
        return cls(last={one[2]: int(one[1]) for one in found if one is not None})

    def lines(self) -> list[str]:
        """Write a journal; ``parse`` of it gives these rounds again."""
        return [journal_line(number, key) for key, number in self.last.items()]

    def of(self, keys: Collection[str]) -> Self:
        """Give the rounds of the objects that are still there."""
        here = frozenset(keys)
        return type(self)(
            last={key: number for key, number in self.last.items() if key in here}
        )

    def current(self, keys: Collection[str]) -> int:
        """Give the round that is not finished: one above that of the last object."""
        return 1 + min((self.last.get(key, 0) for key in keys), default=0)

    def next(self, keys: Collection[str], sample: int | None) -> list[str]:
        """Say which objects to look at, in order.

        Args:
            keys: of all objects.
            sample: how many at most; None means all that the round still lacks.
        """
        waiting = sorted(keys, key=lambda key: (self.last.get(key, 0), key))
        if sample is not None:
            return waiting[:sample]
        current = self.current(keys)
        return [key for key in waiting if self.last.get(key, 0) < current]


def journal_line(number: int, key: str) -> str:
    """Write that an object was found to be right in a round."""
    return f"{number} {key}"


def checkpoint_digests(keys: Iterable[str]) -> dict[str, str]:
    """Pick the checkpoints among the store's keys: their digests, by key."""
    found = {key: _CHECKPOINT.fullmatch(key) for key in keys}
    return {key: match[1] for key, match in found.items() if match is not None}


def unreferenced(keys: Iterable[str], releases: Iterable[Release]) -> list[str]:
    """Give the keys that nothing refers to, sorted.

    A checkpoint names itself: it is there for releases to come.
    """
    keys = list(keys)
    channels = map(channel_key, channel_names(keys))
    known = {INDEX_KEY, *checkpoint_digests(keys), *channels}
    for release in releases:
        known |= {release.key, release_key(release.ref)}
    return sorted(key for key in keys if key not in known)
