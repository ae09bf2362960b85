"""Objects of a store: what is known of one, and what a new one is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Stored:
    """An object that is there."""

    size_bytes: int
    token: str
    """Another one for other bytes; a read can be pinned to it."""


@dataclass(frozen=True)
class Movable:
    """A small object that may change, as it was at one moment."""

    body: bytes
    token: str
    """What a swap expects to find."""


@dataclass(frozen=True)
class InMemory:
    """The content of a small object that is to be."""

    data: bytes

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        """Give exactly these bytes; fewer if there are no more."""
        return self.data[offset : offset + length]


@dataclass(frozen=True)
class Copied:
    """Bytes that an object of the store holds already."""

    key: str
    offset: int
    length: int


@dataclass(frozen=True)
class Sent:
    """Bytes of the content, which have to be uploaded."""

    offset: int
    length: int


Part = Copied | Sent
"""A new object is made of parts, in order and without a gap."""


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How the bytes of a new object came into the store."""

    sent_bytes: int = 0
    copied_bytes: int = 0
    """Inside the store, from other objects."""

    why_not_copied: str = ""
    """Why everything was sent although parts could have been copied."""


@dataclass(frozen=True)
class Leftover:
    """What a writer that was killed has left: no object, but space that is paid."""

    key: str
    handle: str
    """How the store knows it."""

    is_abandoned: bool
    """Nobody can be at work on it any more."""


@dataclass(frozen=True)
class Begun:
    """How much of a large file an earlier run has brought."""

    length: int = 0
    """Bytes from its start."""

    tag: str = ""
    """What the source called the version that they are of; empty if it said nothing."""


class Chunk(NamedTuple):
    """Bytes of a large file, as they come from a source."""

    offset: int
    """Where the bytes before ended, or 0: then the source has started over."""

    data: bytes
    tag: str = ""
    """What the source calls the version that they are of."""
