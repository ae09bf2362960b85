"""Segments: the unit in which bytes of an archive are moved and verified.

A checkpoint is cut at its tensors, so that what a training did not touch keeps its
digest, wherever in the file it stands. What lies between the tensors (headers, the
pickle, the directory) changes with every save; all of it is one segment.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

SEGMENT_MAX_BYTES = 32 * 2**20
"""The most that is verified at once, and so held in memory by each read."""

_MERGED_MIN_BYTES = 2**20
_MERGED_PER_FILE = 2048
"""How many merged segments a file has at most, so that ``release.json`` stays small."""

_TENSORS_MAX = 4096
"""Of more tensors than these, ``release.json`` does not name each one's place."""

_GLUE_SHARE = 1024
"""A tensor so many times smaller than a merged segment is not worth its two numbers."""


class Run(NamedTuple):
    """Bytes that follow each other."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        """The offset of the first byte behind it."""
        return self.offset + self.length


Cut = tuple[Run, ...]
"""Which bytes make a segment, in the order in which they are hashed."""


@dataclass(frozen=True)
class Segment:
    """Bytes of a file or an archive with one digest."""

    runs: Cut
    sha256: str
    """Of the runs, one after the other."""

    @property
    def length(self) -> int:
        """The bytes of all runs."""
        return sum(run.length for run in self.runs)

    def moved(self, by: int) -> Segment:
        """Give the same bytes *by* bytes further on."""
        runs = tuple(Run(run.offset + by, run.length) for run in self.runs)
        return Segment(runs, self.sha256)


def cut(length: int, tensors: Iterable[Run] = ()) -> tuple[Cut, ...]:
    """Say where to cut a file.

    Args:
        length: of the file, in bytes.
        tensors: where it has tensors. Ranges that overlap or leave the file are those
            of no sound file, which is then cut as if it had none.

    Returns:
        Cuts of at most ``SEGMENT_MAX_BYTES`` that have every byte exactly once, by
        where they begin. Large tensors are alone, small neighbours together. Very
        many tensors are told apart less well, so that they are told in few words.
    """
    merged_bytes = _merged_bytes(length)
    found = [run for run in _sound(tensors, length) if _counts(run, merged_bytes)]
    if not found:
        return tuple((run,) for run in _pieces(Run(0, length)))
    if len(found) > _TENSORS_MAX:
        found = _with_headers(found)
    groups = _merged(found, merged_bytes)
    return tuple(sorted([*groups, *_bounded(gaps(found, Run(0, length)))]))


def gaps(runs: Iterable[Run], within: Run) -> list[Run]:
    """List what *runs*, which are sorted and do not overlap, leave of *within*."""
    ends = [within.offset]
    starts = []
    for run in runs:
        starts.append(run.offset)
        ends.append(run.end)
    starts.append(within.end)
    pairs = zip(ends, starts, strict=True)
    return [Run(end, start - end) for end, start in pairs if start > end]


def covers(segments: Iterable[Segment], whole: Run) -> bool:
    """Say whether the segments have every byte of *whole* exactly once."""
    runs = sorted(run for segment in segments for run in segment.runs)
    ends = [whole.offset, *(run.end for run in runs)]
    starts = [*(run.offset for run in runs), whole.end]
    return starts == ends and all(run.length > 0 for run in runs)


class SegmentDigests:
    """Hashes the segments of a file whose bytes come one chunk after the other."""

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self._cuts = cuts
        self._hashes: list[Any] = [hashlib.sha256() for _ in cuts]
        self._runs = iter(
            sorted((run, number) for number, cut in enumerate(cuts) for run in cut)
        )
        self._left, self._number = 0, 0

    @property
    def are_several(self) -> bool:
        """Say whether there is more than one, and so anything to hash."""
        return len(self._cuts) > 1

    def update(self, chunk: bytes) -> None:
        """Take the next bytes of the file; what stands behind the last cut is none."""
        view = memoryview(chunk)
        while view and self._has_more():
            part = view[: self._left]
            self._hashes[self._number].update(part)
            self._left -= len(part)
            view = view[len(part) :]

    def segments(self) -> tuple[Segment, ...]:
        """Give the segments; none where the file is one, whose digest is the file's."""
        if not self.are_several:
            return ()
        pairs = zip(self._cuts, self._hashes, strict=True)
        return tuple(Segment(cut, sha256.hexdigest()) for cut, sha256 in pairs)

    def _has_more(self) -> bool:
        if self._left == 0:
            run, self._number = next(self._runs, (Run(0, 0), 0))
            self._left = run.length
        return self._left > 0


def _merged_bytes(length: int) -> int:
    """Give the size up to which small tensors are put together.

    A power of two, so that a file that grows a little is cut as before.
    """
    wanted = max(_MERGED_MIN_BYTES, length // _MERGED_PER_FILE)
    return int(min(SEGMENT_MAX_BYTES, 2 ** (wanted - 1).bit_length()))


def _counts(run: Run, merged_bytes: int) -> bool:
    return run.length * _GLUE_SHARE >= merged_bytes


def _sound(tensors: Iterable[Run], length: int) -> list[Run]:
    runs = sorted(run for run in tensors if run.length > 0)
    apart = all(one.end <= other.offset for one, other in pairwise(runs))
    inside = all(run.offset >= 0 and run.end <= length for run in runs)
    return runs if apart and inside else []


def _with_headers(tensors: Sequence[Run]) -> list[Run]:
    """Let tensors begin where the one before ends, so that neighbours are one run.

    What stands before a tensor is its header, which changes when the tensor does.
    """
    pairs = pairwise(tensors)
    return [tensors[0], *(Run(one.end, two.end - one.end) for one, two in pairs)]


def _pieces(run: Run) -> Iterator[Run]:
    for start in range(run.offset, run.end, SEGMENT_MAX_BYTES):
        yield Run(start, min(SEGMENT_MAX_BYTES, run.end - start))


def _merged(tensors: Iterable[Run], merged_bytes: int) -> Iterator[Cut]:
    """Put small neighbours together; cut large tensors."""
    small: list[Run] = []
    size = 0
    for tensor in tensors:
        if small and size + tensor.length > merged_bytes:
            yield _joined(small)
            small, size = [], 0
        if tensor.length >= merged_bytes:
            yield from ((piece,) for piece in _pieces(tensor))
        else:
            small.append(tensor)
            size += tensor.length
    if small:
        yield _joined(small)


def _joined(runs: Iterable[Run]) -> Cut:
    """Make one run of those that follow each other without a gap."""
    joined: list[Run] = []
    for run in runs:
        if joined and joined[-1].end == run.offset:
            joined[-1] = Run(joined[-1].offset, joined[-1].length + run.length)
        else:
            joined.append(run)
    return tuple(joined)


def _bounded(glue: Iterable[Run]) -> Iterator[Cut]:
    """Make one segment of all runs, or as few as their sizes allow."""
    together: list[Run] = []
    size = 0
    for piece in (piece for run in glue for piece in _pieces(run)):
        if size + piece.length > SEGMENT_MAX_BYTES:
            yield tuple(together)
            together, size = [], 0
        together.append(piece)
        size += piece.length
    if together:
        yield tuple(together)
