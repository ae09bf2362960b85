"""Archives on their way from one store into another, of which only some bytes come.

``.<name>-<version>.mar.pass`` has a hole where nobody has asked for the bytes. A
journal beside it names the segments that are there; both are found again after a crash.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from model_servers.adapters import delta, disk
from model_servers.core.delta import (
    Place,
    Wanted,
    archive_wanted,
    missing_bytes,
    places_in_archive,
)
from model_servers.core.names import Ref
from model_servers.core.release import Release
from model_servers.core.segments import Run
from model_servers.ports import Chunks, OnBytes


class PassingArchives:
    """A folder for archives on their way into one store."""

    def __init__(self, root: Path, *, stored: Path | None = None) -> None:
        """Name the folder.

        Args:
            root: the folder; it may be missing.
            stored: the folder of the store, if it is one; its archives give bytes.
        """
        self._root = root
        self._stored = stored

    @contextmanager
    def opened(
        self, release: Release, here: Iterable[Release], *, chunks: Chunks
    ) -> Iterator[PassingArchive]:
        """Give an archive for the block; after it, nothing of it is on the disk.

        Interrupted, what has come stays, and is found by the next run.

        Raises:
            RefusedError: another process is at the same release.
        """
        file, journal = self._files(release.ref)
        lengths = {str(file): release.archive.size_bytes}
        with (
            disk.failures(f"writing {file}"),
            delta.passing(
                delta.Files(lengths=lengths, are_sparse=True),
                local=self._places(here),
                journal=journal,
                chunks=chunks,
            ) as filling,
        ):
            yield PassingArchive(release, file, filling)

    def remove(self, ref: Ref) -> None:
        """Take away what an earlier run has left; done if there is nothing."""
        for path in self._files(ref):
            with disk.failures(f"removing {path}"):
                path.unlink(missing_ok=True)

    def _files(self, ref: Ref) -> tuple[Path, Path]:
        file = self._root / f".{ref.entry}.mar.pass"
        return file, file.with_name(f"{file.name}.journal")

    def _places(self, here: Iterable[Release]) -> Mapping[str, Place]:
        places: dict[str, Place] = {}
        if self._stored is not None:
            for release in here:
                path = self._stored / release.key
                if path.is_file():
                    places |= places_in_archive(release.archive, str(path))
        return places


class PassingArchive:
    """The bytes of one archive, which come when they are asked for, verified."""

    def __init__(self, release: Release, file: Path, filling: delta.Filling) -> None:
        self._release = release
        self._file = file
        self._filling = filling
        wanted = archive_wanted(release.archive, str(file))
        self._runs = sorted(
            (run, number)
            for number, one in enumerate(wanted)
            for run in one.segment.runs
        )
        self._starts = [run.offset for run, _ in self._runs]
        self._wanted = wanted

    @property
    def size_bytes(self) -> int:
        """How many bytes the archive has."""
        return self._release.archive.size_bytes

    def missing_bytes(self, runs: Iterable[Run]) -> int:
        """Say how many bytes have to come for the segments of which *runs* has some."""
        segments = (one.segment for one in self._missing(runs))
        return missing_bytes(segments, self._filling.local)

    def bring(self, runs: Iterable[Run], on_bytes: OnBytes) -> None:
        """Let all segments come of which *runs* has some, several at a time.

        Raises:
            OutsideError: wrong bytes came, or the disk is full.
        """
        missing = self._missing(runs)
        with disk.failures(f"writing {self._file}"):
            taken = self._file.stat().st_blocks * 512
            needed = sum(one.segment.length for one in missing) - taken
            ref = str(self._release.ref)
            disk.check_room(self._file.parent, max(0, needed), what=ref)
            self._filling.bring(missing, on_bytes)

    def read(self, offset: int, length: int) -> bytes:
        """Give exactly these bytes; fewer if the archive ends before."""
        run = Run(offset, min(length, self.size_bytes - offset))
        with disk.failures(f"passing on {self._file}"), self._file.open("rb") as stream:
            self._filling.bring(self._missing([run]), _unseen)
            return os.pread(stream.fileno(), run.length, offset)

    def _missing(self, runs: Iterable[Run]) -> list[Wanted]:
        numbers = {number for run in runs for number in self._within(run)}
        segments = [self._wanted[number] for number in sorted(numbers)]
        return [one for one in segments if not self._filling.has(one)]

    def _within(self, run: Run) -> Iterator[int]:
        """Yield the segments of which *run* has some bytes."""
        first = max(0, bisect_right(self._starts, run.offset) - 1)
        for other, number in self._runs[first:]:
            if other.offset >= run.end:
                return
            yield number


def _unseen(count: int) -> None:
    """Tell nobody of bytes that come beside those that were planned."""
