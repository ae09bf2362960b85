"""Which bytes of a new archive the store holds already, and the parts to make it of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from model_servers.core.objects import Copied, Part, Sent
from model_servers.core.release import Archive, ReleasedMember
from model_servers.core.segments import Run as Bytes

PART_MIN_BYTES = 5 * 2**20
"""Every part but the last has at least this size.

Source: S3's limits of multipart uploads (EntityTooSmall).
"""

SENT_PART_BYTES = 16 * 2**20
COPIED_PART_BYTES = 256 * 2**20
PARTS_MAX = 9_000
"""S3 takes 10,000; splitting evenly may make some more than the division says."""

HEAD_MAX_BYTES = 64 * 2**10
"""The longest run before a member that is compared to be copied with it."""


@dataclass(frozen=True)
class Run:
    """Bytes of the new archive, and where the store holds the same."""

    offset: int
    source: Copied

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + self.source.length

    def extended(self, head: int) -> Run:
        """Give the run that starts *head* bytes earlier, here and there."""
        source = self.source
        return Run(
            self.offset - head,
            Copied(source.key, source.offset - head, source.length + head),
        )


def checkpoint_key(sha256: str) -> str:
    """Say where a weight file goes that is stored under its digest."""
    return f"checkpoints/sha256/{sha256}"


def holdings(key: str, members: Iterable[ReleasedMember]) -> dict[str, Copied]:
    """Say where an archive of the store holds which bytes, by their digest."""
    return {
        sha256: Copied(key, *place)
        for member in members
        for sha256, place in ((member.sha256, member.run), *_segments(member))
    }


def known_runs(archive: Archive, held: Mapping[str, Copied]) -> list[Run]:
    """Give the runs of *archive* that are *held*, joined where both sides allow it."""
    runs: list[Run] = []
    for sha256, place in sorted(_parts(archive, held), key=lambda part: part[1]):
        source = held.get(sha256)
        if source is None or source.length != place.length or not place.length:
            continue
        if runs and _continues(runs[-1], place.offset, source):
            last = runs.pop()
            length = last.source.length + source.length
            runs.append(replace(last, source=replace(last.source, length=length)))
        else:
            runs.append(Run(place.offset, source))
    return [run for run in runs if run.source.length >= PART_MIN_BYTES]


def wanted_members(archive: Archive, held: Mapping[str, Copied]) -> list[str]:
    """Give the digests of members worth looking for, that are not *held*."""
    return [
        member.sha256
        for member in archive.members
        if member.length >= PART_MIN_BYTES and member.sha256 not in held
    ]


def heads(runs: Iterable[Run]) -> Iterator[tuple[Run, int]]:
    """Yield the runs with few bytes before them, and how many.

    A zip has a header before each member, which no digest covers. Where the store
    has the same header before the same member, both are one run.
    """
    end = 0
    for run in runs:
        gap = run.offset - end
        if 0 < gap <= min(HEAD_MAX_BYTES, run.source.offset):
            yield run, gap
        end = run.end


def plan_parts(size_bytes: int, runs: Iterable[Run]) -> list[Part]:
    """Cut a new object into parts: copy the *runs*, send the rest.

    Where too little is left before a run to be a part, the run gives the missing
    bytes; a run that would become too short for a part is sent whole.
    """
    parts: list[Part] = []
    done = 0
    for run in runs:
        sent = run.offset - done
        missing = max(0, PART_MIN_BYTES - sent) if sent else 0
        if run.source.length - missing < PART_MIN_BYTES:
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


def _parts(archive: Archive, held: Mapping[str, Copied]) -> Iterator[tuple[str, Bytes]]:
    for member in archive.members:
        if member.sha256 in held:
            yield member.sha256, member.run
        else:
            yield from _segments(member)


def _segments(member: ReleasedMember) -> Iterator[tuple[str, Bytes]]:
    """Yield the segments that are one run; the others have only small tensors."""
    for part in member.parts():
        if len(part.runs) == 1:
            yield part.sha256, part.runs[0]


def _continues(run: Run, offset: int, source: Copied) -> bool:
    here = run.end == offset
    there = run.source.offset + run.source.length == source.offset
    return here and there and run.source.key == source.key


def _sent(offset: int, length: int, size_bytes: int) -> list[Part]:
    return _split(Sent(offset, length), SENT_PART_BYTES, size_bytes) if length else []


def _split(part: Part, length: int, size_bytes: int) -> list[Part]:
    """Cut a part evenly, so that no piece is smaller than S3 takes."""
    most = max(length, -(-size_bytes // PARTS_MAX))
    count = -(-part.length // most)
    ends = [part.length * number // count for number in range(count + 1)]
    return [
        replace(part, offset=part.offset + start, length=end - start)
        for start, end in pairwise(ends)
    ]
