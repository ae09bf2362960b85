"""The digests of segments: BLAKE3, which takes a quarter of the time of sha256.

A host hashes every byte that it fetches, beside models that need the same cores. What
people compare with other tools, archives and members, has a sha256.

Source: docs/decisions/0013-segments-have-a-blake3.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from blake3 import blake3

from model_servers.core.contribution import Digests
from model_servers.core.segments import Cut, Run, Segment


def new_blake3() -> blake3:
    """Give a hash that bytes are fed to."""
    return blake3()


def blake3_of(chunks: Iterable[bytes]) -> str:
    """Give the BLAKE3, hex, of bytes that come one chunk after the other."""
    digest = blake3()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


class SegmentDigests:
    """Hashes the segments of a file whose bytes come one chunk after the other."""

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self._cuts = cuts
        self._hashes = [blake3() for _ in cuts]
        self._runs = iter(
            sorted((run, number) for number, cut in enumerate(cuts) for run in cut)
        )
        self._left, self._number = 0, 0

    def update(self, chunk: bytes) -> None:
        """Take the next bytes of the file; what stands behind the last cut is none."""
        view = memoryview(chunk)
        while view and self._has_more():
            part = view[: self._left]
            self._hashes[self._number].update(part)
            self._left -= len(part)
            view = view[len(part) :]

    def segments(self) -> tuple[Segment, ...]:
        """Give the segments of the bytes that have come."""
        pairs = zip(self._cuts, self._hashes, strict=True)
        return tuple(Segment(cut, digest.hexdigest()) for cut, digest in pairs)

    def confirms(self, digests: Digests) -> bool:
        """Say whether the bytes were those that were hashed before."""
        has_all = sum(part.length for part in digests.segments) == digests.size_bytes
        return has_all and self.segments() == digests.segments

    def _has_more(self) -> bool:
        if self._left == 0:
            run, self._number = next(self._runs, (Run(0, 0), 0))
            self._left = run.length
        return self._left > 0
