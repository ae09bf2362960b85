"""Brings segments into files: copied from this machine where it has them, else fetched.

Every segment is hashed as it arrives, whoever it came from.

Source: no S3 client verifies a ranged download; a flipped bit passed all that were
    measured.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from model_servers.adapters import disk
from model_servers.adapters.copying import copy_range
from model_servers.core.delta import Get, Piece, Place, Wanted, copies, plan_gets
from model_servers.errors import OutsideError, RefusedError
from model_servers.ports import OnBytes

_IN_FLIGHT = 4
"""Reads at a time, each of at most ``GET_MAX_BYTES``."""

_CHUNK_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files to be filled, and how long each of them will be."""

    lengths: Mapping[str, int]

    def missing_bytes(self) -> int:
        """Say how much room on the disk they will take beside what they have."""
        taken = 0
        for path in map(Path, self.lengths):
            if path.exists() and path.stat().st_nlink == 1:
                taken += path.stat().st_blocks * 512
        return max(0, sum(self.lengths.values()) - taken)

    def reserve(self) -> None:
        """Make the files and take their room on the disk; what they hold stays.

        A file that has another name too is somebody else's, and is left alone.

        Raises:
            OSError: the disk has no room for all of them.
        """
        for name, length in self.lengths.items():
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                if path.stat().st_nlink > 1:
                    path.unlink()
                else:
                    path.chmod(0o644)
            with _opened(name, os.O_RDWR | os.O_CREAT) as file:
                os.ftruncate(file, length)
                if length:
                    os.posix_fallocate(file, 0, length)

    def sync(self) -> None:
        """Make what they hold survive a power cut."""
        for name in self.lengths:
            with _opened(name, os.O_RDONLY) as file:
                os.fsync(file)


@contextmanager
def brought(
    wanted: Sequence[Wanted],
    files: Files,
    *,
    local: Mapping[str, Place],
    journal: Path,
    read_range: Callable[[int, int], bytes],
    on_bytes: OnBytes,
) -> Iterator[None]:
    """Fill *files* with the wanted segments, each of them verified, for the block.

    The block gives the files their final names. Killed before, it leaves files of the
    same names and a journal of what is verified; run again, it hashes that once more
    and goes on with the rest.

    Args:
        wanted: segments that have every byte of the files.
        files: where they shall stand.
        local: where this machine has segments, by digest; not trusted.
        journal: remembers what is done; it is gone after the block.
        read_range: reads the released archive: offset and length.
        on_bytes: told the wanted bytes that have come from there.

    Raises:
        OutsideError: wrong bytes came, or the source failed.
        RefusedError: another process is filling the same files.
        OSError: the disk is full or cannot be written.
    """
    with _locked(journal) as log:
        files.reserve()
        work = _Work(log, read_range, on_bytes)
        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            _bring(wanted, work, pool, before=_lines(log), local=local)
        files.sync()
        yield
        journal.unlink()


def _bring(
    wanted: Sequence[Wanted],
    work: _Work,
    pool: ThreadPoolExecutor,
    *,
    before: Collection[str],
    local: Mapping[str, Place],
) -> None:
    """Keep what an earlier run has left, copy what is here, fetch the rest."""
    kept = [one for one in wanted if one.key in before]
    done = _those(kept, pool.map(_is_right, kept))
    rest = [one for one in wanted if one.key not in done]
    here = [one for one in rest if one.segment.sha256 in local]
    copied = pool.map(lambda one: work.copy(one, local[one.segment.sha256]), here)
    done |= _those(here, copied)
    gets = plan_gets(one for one in rest if one.key not in done)
    work.expect(gets)
    for _ in pool.map(work.get, gets):
        pass


@dataclass
class _Work:
    """What the threads share."""

    log: int
    read_range: Callable[[int, int], bytes]
    on_bytes: OnBytes
    left: Counter[str] = field(default_factory=Counter)
    """Bytes of each segment that have not come yet."""

    lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, gets: Iterable[Get]) -> None:
        for get in gets:
            for piece in get.pieces:
                self.left[piece.wanted.key] += piece.run.length

    def copy(self, wanted: Wanted, place: Place) -> bool:
        """Copy a segment; False if the machine does not have it any more, or wrong."""
        target = wanted.place
        try:
            with (
                _opened(place.file, os.O_RDONLY) as source,
                _opened(target.file, os.O_RDWR) as file,
            ):
                for start, to, length in copies(place.runs, target.runs):
                    copy_range(source, start, file, to, length)
        except OSError as error:
            if error.errno in disk.FULL:
                raise
            return False
        if not _is_right(wanted):
            return False
        self._note(wanted)
        return True

    def get(self, get: Get) -> None:
        """Fetch a range and write its pieces; verify the segments that it completes."""
        run = get.run
        data = memoryview(self.read_range(run.offset, run.length))
        if len(data) != run.length:
            raise _wrong(get.pieces[0].wanted, f"{len(data)} of {run.length} bytes")
        for piece in get.pieces:
            start = piece.run.offset - run.offset
            part = data[start : start + piece.run.length]
            with _opened(piece.wanted.file, os.O_RDWR) as file:
                _write(file, part, piece.run.offset - piece.wanted.start)
            self._arrived(piece, part)

    def _arrived(self, piece: Piece, part: memoryview) -> None:
        wanted = piece.wanted
        with self.lock:
            self.left[wanted.key] -= len(part)
            is_whole = self.left[wanted.key] == 0
        if is_whole:
            # Mostly a read has the whole segment, which is still in memory.
            is_all = piece.run.length == wanted.segment.length
            found = _digest(part) if is_all else _sha256(wanted.place)
            if found != wanted.segment.sha256:
                raise _wrong(wanted, f"sha256 {found}")
            self._note(wanted)
        with self.lock:
            self.on_bytes(len(part))

    def _note(self, wanted: Wanted) -> None:
        os.write(self.log, f"{wanted.key}\n".encode())


def _wrong(wanted: Wanted, found: str) -> OutsideError:
    runs = wanted.segment.runs
    more = f" and {len(runs) - 1} other ranges" if len(runs) > 1 else ""
    return OutsideError(
        f"wrong bytes came for {wanted.what}, bytes {runs[0].offset} to "
        f"{runs[0].end}{more} of the archive: {found}, released "
        f"{wanted.segment.sha256}",
        hint="run the command again; if it stays, the store is damaged",
    )


def _those(wanted: Iterable[Wanted], are_right: Iterable[bool]) -> set[str]:
    pairs = zip(wanted, are_right, strict=True)
    return {one.key for one, is_right in pairs if is_right}


def _is_right(wanted: Wanted) -> bool:
    return _sha256(wanted.place) == wanted.segment.sha256


def _digest(data: memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def _sha256(place: Place) -> str:
    digest = hashlib.sha256()
    with _opened(place.file, os.O_RDONLY) as file:
        for run in place.runs:
            for start in range(run.offset, run.end, _CHUNK_BYTES):
                count = min(_CHUNK_BYTES, run.end - start)
                digest.update(os.pread(file, count, start))
    return digest.hexdigest()


def _write(file: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(file, data, offset)
        data, offset = data[count:], offset + count


def _lines(log: int) -> set[str]:
    size = os.fstat(log).st_size
    return set(os.pread(log, size, 0).decode(errors="replace").splitlines())


@contextmanager
def _locked(journal: Path) -> Iterator[int]:
    """Open the journal; whoever holds it owns the files."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    with _opened(str(journal), os.O_RDWR | os.O_CREAT | os.O_APPEND) as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RefusedError(
                f"another process is fetching the same release: it holds {journal}",
                hint="wait until it is done",
            ) from error
        yield log


@contextmanager
def _opened(name: str, flags: int) -> Iterator[int]:
    file = os.open(name, flags | os.O_CLOEXEC, 0o644)
    try:
        yield file
    finally:
        os.close(file)
