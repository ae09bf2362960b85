"""Which bytes of a new archive the store holds already, and the parts to make it of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from model_servers.core.delta import copies
from model_servers.core.objects import Copied, Part, Sent
from model_servers.core.release import Archive, ReleasedMember
from model_servers.core.segments import Cut

PART_MIN_BYTES = 5 * 2**20
"""Every part but the last has at least this size.

Source: S3's limits of multipart uploads (EntityTooSmall).
"""

SENT_PART_BYTES = 16 * 2**20
COPIED_PART_BYTES = 256 * 2**20
PARTS_MAX = 9_000
"""S3 takes 10,000."""

HEAD_MAX_BYTES = 64 * 2**10
"""The longest run before a known one that is compared to be copied with it."""

_WORTH_BYTES = 16 * 2**10
"""A shorter run costs less to send than to look what stands before it."""


@dataclass(frozen=True)
class Held:
    """Where an object of the store holds the bytes of one digest."""

    key: str
    runs: Cut


Holdings = Mapping[str, Sequence[Held]]
"""By digest, sha256 of members and BLAKE3 of segments; several places are in one
object."""


@dataclass(frozen=True)
class Run:
    """Bytes of the new archive, and where the store holds the same."""

    offset: int
    source: Copied

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + self.source.length

    def head(self, length: int) -> Run:
        """Give the bytes before it, here and there."""
        source = self.source
        before = Copied(source.key, source.offset - length, length)
        return Run(self.offset - length, before)

    def goes_on_with(self, other: Run) -> bool:
        """Say whether *other* follows it, here and there."""
        here, there = self.source, other.source
        return (self.end, here.key, here.offset + here.length) == (
            other.offset,
            there.key,
            there.offset,
        )


def checkpoint_key(sha256: str) -> str:
    """Say where a weight file goes that is stored under its digest."""
    return f"checkpoints/sha256/{sha256}"


def holdings(key: str, members: Iterable[ReleasedMember]) -> dict[str, list[Held]]:
    """Say where an archive of the store holds which bytes, by their digest."""
    found: defaultdict[str, list[Held]] = defaultdict(list)
    for member in members:
        found[member.sha256].append(Held(key, (member.run,)))
        for part in member.segments:
            found[part.blake3].append(Held(key, part.runs))
    return dict(found)


def known_runs(archive: Archive, held: Holdings) -> list[Run]:
    """Give the runs of *archive* that are *held*, joined where both sides allow it.

    Short ones are left to what is compared around them.
    """
    runs = joined(
        run
        for digest, runs in _parts(archive, held)
        for run in _known(runs, held.get(digest, ()))
    )
    return [run for run in runs if run.source.length >= _WORTH_BYTES]


def joined(runs: Iterable[Run]) -> list[Run]:
    """Make one run of those that follow each other here and there."""
    found: list[Run] = []
    for run in sorted(runs, key=lambda run: run.offset):
        if found and found[-1].goes_on_with(run):
            last = found[-1].source
            longer = replace(last, length=last.length + run.source.length)
            found[-1] = replace(found[-1], source=longer)
        else:
            found.append(run)
    return found


def wanted_members(archive: Archive, held: Holdings) -> list[str]:
    """Give the digests of members worth looking for, that are not *held*."""
    return [
        member.sha256
        for member in archive.members
        if member.length >= PART_MIN_BYTES and member.sha256 not in held
    ]


def heads(runs: Iterable[Run]) -> Iterator[Run]:
    """Yield the few bytes before each run, which the store may have before it too.

    A zip has a header before each member, and a checkpoint one before each tensor,
    which no digest covers, or only one that covers all of them. Where the store has
    the same header between the same tensors, all three are one run. Where even that
    would be too short for a part, none is worth a look.
    """
    for chain in _chains([Run(0, Copied("", 0, 0)), *runs]):
        if chain[-1].end - chain[0].offset < PART_MIN_BYTES:
            continue
        for before, run in pairwise(chain):
            gap = run.offset - before.end
            if 0 < gap <= run.source.offset:
                yield run.head(gap)


def plan_parts(size_bytes: int, runs: Iterable[Run]) -> list[Part]:
    """Cut a new object into parts: copy the *runs*, send the rest.

    Where too little is left before a run to be a part, the run gives the missing
    bytes; a run that would become too short for a part is sent whole.
    """
    parts: list[Part] = []
    least = _least_bytes(size_bytes)
    done = 0
    for run in runs:
        sent = run.offset - done
        missing = max(0, least - sent) if sent else 0
        if run.source.length - missing < least:
            continue
        parts += _sent(done, sent + missing, size_bytes)
        source = run.source
        parts += _split(
            Copied(source.key, source.offset + missing, source.length - missing),
            COPIED_PART_BYTES,
            size_bytes,
        )
        done = run.end
    return [*parts, *_sent(done, size_bytes - done, size_bytes)]


def whole_file(size_bytes: int) -> list[Part]:
    """Cut a file of which the store holds nothing."""
    return plan_parts(size_bytes, ()) or [Sent(0, 0)]


def _parts(archive: Archive, held: Holdings) -> Iterator[tuple[str, Cut]]:
    """Yield members that are held whole, and the segments of the others."""
    for member in archive.members:
        if member.sha256 in held:
            yield member.sha256, (member.run,)
        else:
            yield from ((part.blake3, part.runs) for part in member.segments)


def _known(part: Cut, places: Sequence[Held]) -> Iterator[Run]:
    """Yield the runs of a segment that is held.

    Equal tensors have one digest. The nearest of them is the one whose neighbours are
    this one's too.
    """
    start = part[0].offset
    length = sum(run.length for run in part)
    near = sorted(places, key=lambda place: abs(place.runs[0].offset - start))
    for place in near[:1]:
        if sum(run.length for run in place.runs) == length:
            for there, here, count in copies(place.runs, part):
                yield Run(here, Copied(place.key, there, count))


def _chains(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Yield runs together that have only few bytes between them."""
    chain: list[Run] = []
    for run in runs:
        if chain and run.offset - chain[-1].end > HEAD_MAX_BYTES:
            yield chain
            chain = []
        chain.append(run)
    yield chain


def _least_bytes(size_bytes: int) -> int:
    """Give the least size of a part with which there are not too many of them."""
    return max(PART_MIN_BYTES, -(-size_bytes // PARTS_MAX))


def _sent(offset: int, length: int, size_bytes: int) -> list[Part]:
    return _split(Sent(offset, length), SENT_PART_BYTES, size_bytes) if length else []


def _split(part: Part, length: int, size_bytes: int) -> list[Part]:
    """Cut a part evenly, so that no piece is smaller than a part may be."""
    most = max(length, 2 * _least_bytes(size_bytes))
    count = -(-part.length // most)
    ends = [part.length * number // count for number in range(count + 1)]
    return [
        replace(part, offset=part.offset + start, length=end - start)
        for start, end in pairwise(ends)
    ]
