"""Plans how bytes of a release come to this machine: what to copy, what to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from model_servers.core.release import Archive, Release
from model_servers.core.segments import SEGMENT_MAX_BYTES, Cut, Run, Segment

GET_MAX_BYTES = SEGMENT_MAX_BYTES
"""The most that one read asks for; four of them in flight fill a network."""

GAP_MAX_BYTES = 64 * 2**10
"""Bytes between two wanted ones that cost less than another request."""


@dataclass(frozen=True)
class Place:
    """Where this machine has the bytes of a segment."""

    file: str
    runs: Cut


@dataclass(frozen=True)
class Wanted:
    """A segment and the file in which it shall stand."""

    segment: Segment
    file: str
    start: int
    """Which byte of the archive is the file's first."""

    what: str
    """Whose bytes they are, for people."""

    @property
    def key(self) -> str:
        """What a journal calls it."""
        return f"{self.segment.runs[0].offset} {self.segment.blake3}"

    @property
    def place(self) -> Place:
        """Where its bytes shall be."""
        return Place(self.file, self.segment.moved(-self.start).runs)


@dataclass(frozen=True)
class Piece:
    """Part of a read, and the wanted segment that it belongs to."""

    run: Run
    """In the archive."""

    wanted: Wanted


@dataclass(frozen=True)
class Get:
    """One read of the archive, from the first piece to the end of the last."""

    pieces: tuple[Piece, ...]

    @property
    def run(self) -> Run:
        """What to read."""
        offset = self.pieces[0].run.offset
        return Run(offset, self.pieces[-1].run.end - offset)


def plan_gets(missing: Iterable[Wanted]) -> list[Get]:
    """Plan the reads of what no file here has, by their places in the archive.

    Neighbours are read together, also over a small gap; large segments are read in
    several parts.
    """
    gets: list[Get] = []
    pieces: list[Piece] = []
    for piece in sorted(_pieces(missing), key=lambda piece: piece.run):
        if pieces and not _joins(pieces, piece):
            gets.append(Get(tuple(pieces)))
            pieces = []
        pieces.append(piece)
    return [*gets, Get(tuple(pieces))] if pieces else gets


def copies(source: Cut, target: Cut) -> Iterator[tuple[int, int, int]]:
    """Pair the bytes of two cuts of one length: from where, to where, how many."""
    left, right = list(source), list(target)
    while left and right:
        length = min(left[0].length, right[0].length)
        yield left[0].offset, right[0].offset, length
        for runs in (left, right):
            rest = Run(runs[0].offset + length, runs[0].length - length)
            runs[:1] = [rest] if rest.length else []


def places_in_tree(release: Release, folder: str) -> dict[str, Place]:
    """Tell where an unpacked release has its segments, by their digests."""
    return {
        part.blake3: Place(f"{folder}/{member.path}", part.moved(-member.offset).runs)
        for member in release.archive.members
        for part in member.segments
    }


def places_in_archive(archive: Archive, file: str) -> dict[str, Place]:
    """Tell where an archive has its segments, by their digests."""
    parts = [part for member in archive.members for part in member.segments]
    return {part.blake3: Place(file, part.runs) for part in [*parts, archive.framing]}


def missing_bytes(parts: Iterable[Segment], local: Mapping[str, object]) -> int:
    """Say how many bytes of the segments are nowhere on this machine."""
    return sum(part.length for part in parts if part.blake3 not in local)


def shared_bytes(one: Archive, other: Archive) -> int:
    """Say how many bytes of *other* need not come if *one* is here."""
    here = {part.blake3 for member in one.members for part in member.segments}
    parts = (part for member in other.members for part in member.segments)
    return sum(part.length for part in parts if part.blake3 in here)


def archive_wanted(archive: Archive, file: str) -> list[Wanted]:
    """List everything that an archive consists of, to be put together in *file*."""
    members = [
        Wanted(part, file, 0, repr(member.path))
        for member in archive.members
        for part in member.segments
    ]
    return [*members, Wanted(archive.framing, file, 0, "the zip's own records")]


def _pieces(missing: Iterable[Wanted]) -> Iterator[Piece]:
    for wanted in missing:
        for run in wanted.segment.runs:
            for start in range(run.offset, run.end, GET_MAX_BYTES):
                length = min(GET_MAX_BYTES, run.end - start)
                yield Piece(Run(start, length), wanted)


def _joins(pieces: Sequence[Piece], piece: Piece) -> bool:
    gap = piece.run.offset - pieces[-1].run.end
    size = piece.run.end - pieces[0].run.offset
    return gap < GAP_MAX_BYTES and size <= GET_MAX_BYTES
