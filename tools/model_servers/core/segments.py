"""Segments: the unit in which bytes of an archive are moved and verified.

A checkpoint is cut at its tensors, so that what a training did not touch keeps its
digest, wherever in the file it stands. What lies between the tensors (headers, the
pickle, the directory) changes with every save; all of it is one segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

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
    blake3: str
    """Of the runs, one after the other, in hex."""

    @property
    def length(self) -> int:
        """The bytes of all runs."""
        return sum(run.length for run in self.runs)

    def moved(self, by: int) -> Segment:
        """Give the same bytes *by* bytes further on."""
        runs = tuple(Run(run.offset + by, run.length) for run in self.runs)
        return Segment(runs, self.blake3)


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
