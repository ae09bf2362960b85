"""Brings segments into files: copied from this machine where it has them, else fetched.

Every segment is hashed as it arrives, whoever it came from.

Source: no S3 client verifies a ranged download; a flipped bit passed all that were
    measured.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from model_servers.adapters import disk
from model_servers.adapters.copying import copy_range
from model_servers.adapters.segment_digests import blake3_of, new_blake3
from model_servers.adapters.write_back import WriteBack, write_back
from model_servers.core.delta import Get, Piece, Place, Wanted, copies, plan_gets
from model_servers.errors import OutsideError, RefusedError
from model_servers.interruption import Threads
from model_servers.ports import Chunks, OnBytes

_IN_FLIGHT = 4
"""Reads at a time, each of at most ``GET_MAX_BYTES``."""

_CHUNK_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Files:
    """The files to be filled, and how long each of them will be."""

    lengths: Mapping[str, int]
    are_sparse: bool = False
    """Whether only some of their bytes will be there, so that no room is taken."""

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
                if length and not self.are_sparse:
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
    chunks: Chunks,
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
        chunks: reads the released archive.
        on_bytes: told the wanted bytes that have come from there.

    Raises:
        OutsideError: wrong bytes came, or the source failed.
        RefusedError: another process is filling the same files.
        OSError: the disk is full or cannot be written.
    """
    with _locked(journal) as log:
        with _filled(log, files, local=local, chunks=chunks) as filling:
            filling.bring(wanted, on_bytes)
        files.sync()
        yield
        journal.unlink()


@contextmanager
def passing(
    files: Files, *, local: Mapping[str, Place], journal: Path, chunks: Chunks
) -> Iterator[Filling]:
    """Give what fills *files* with the segments that are asked for in the block.

    They and the journal are gone after it, unless it fails: then, as when it is
    killed, the next run finds what has come, as ``brought`` does.
    """
    with _locked(journal) as log:
        with _filled(log, files, local=local, chunks=chunks) as filling:
            yield filling
        for path in (*map(Path, files.lengths), journal):
            path.unlink(missing_ok=True)


@dataclass
class Filling:
    """Brings segments into files that are being filled."""

    log: int
    chunks: Chunks
    local: Mapping[str, Place]
    behind: WriteBack
    pool: Threads
    done: set[str] = field(default_factory=set)
    """Keys of those that are there, verified."""

    lock: threading.Lock = field(default_factory=threading.Lock)

    def has(self, wanted: Wanted) -> bool:
        """Say whether a segment has been brought."""
        return wanted.key in self.done

    def bring(self, wanted: Iterable[Wanted], on_bytes: OnBytes) -> None:
        """Bring what is not there yet; several threads may ask for the same.

        Raises:
            OutsideError: wrong bytes came, or the source failed.
            OSError: the disk is full or cannot be written.
        """
        with self.lock:
            rest = [one for one in wanted if not self.has(one)]
            if rest:
                work = _Work(self.log, self.chunks, on_bytes, self.behind)
                before = _lines(self.log)
                _bring(rest, work, self.pool, before=before, local=self.local)
                self.done |= {one.key for one in rest}


@contextmanager
def _filled(
    log: int, files: Files, *, local: Mapping[str, Place], chunks: Chunks
) -> Iterator[Filling]:
    files.reserve()
    with write_back(files.sync) as behind, Threads(_IN_FLIGHT) as pool:
        yield Filling(log, chunks, local, behind, pool)


def _bring(
    wanted: Sequence[Wanted],
    work: _Work,
    pool: Threads,
    *,
    before: Collection[str],
    local: Mapping[str, Place],
) -> None:
    """Keep what an earlier run has left, copy what is here, fetch the rest."""
    kept = [one for one in wanted if one.key in before]
    done = _those(kept, pool.map(_is_right, kept))
    rest = [one for one in wanted if one.key not in done]
    here = [one for one in rest if one.segment.blake3 in local]
    copied = pool.map(lambda one: work.copy(one, local[one.segment.blake3]), here)
    done |= _those(here, copied)
    gets = plan_gets(one for one in rest if one.key not in done)
    work.expect(gets)
    for _ in pool.map(work.get, gets):
        pass


@dataclass
class _Work:
    """What the threads share."""

    log: int
    chunks: Chunks
    on_bytes: OnBytes
    behind: WriteBack
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
                    self.behind.wrote(length)
        except OSError as error:
            if error.errno in disk.FULL:
                raise
            return False
        if not _is_right(wanted):
            return False
        self._note(wanted)
        return True

    def get(self, get: Get) -> None:
        """Fetch a range; hash and write what arrives, verify what is whole then."""
        inflow = _Inflow(self.chunks(get.run.offset, get.run.length))
        at = get.run.offset
        for piece in get.pieces:
            inflow.skip(piece.run.offset - at)
            self._arrived(piece, self._write(piece, inflow))
            at = piece.run.end
        inflow.end()

    def _write(self, piece: Piece, inflow: _Inflow) -> str:
        """Write a piece as it comes and give its digest."""
        digest, done, wanted = new_blake3(), 0, piece.wanted
        with _opened(wanted.file, os.O_RDWR) as file:
            for part in inflow.take(piece.run.length):
                digest.update(part)
                disk.write(file, part, piece.run.offset - wanted.start + done)
                done += len(part)
                self.behind.wrote(len(part))
                with self.lock:
                    self.on_bytes(len(part))
        if done != piece.run.length:
            raise _wrong(wanted, f"{done} of {piece.run.length} bytes")
        return digest.hexdigest()

    def _arrived(self, piece: Piece, digest: str) -> None:
        wanted = piece.wanted
        with self.lock:
            self.left[wanted.key] -= piece.run.length
            is_whole = self.left[wanted.key] == 0
        if is_whole:
            is_all = piece.run.length == wanted.segment.length
            found = digest if is_all else _blake3(wanted.place)
            if found != wanted.segment.blake3:
                raise _wrong(wanted, f"blake3 {found}")
            self._note(wanted)

    def _note(self, wanted: Wanted) -> None:
        os.write(self.log, f"{wanted.key}\n".encode())


class _Inflow:
    """Bytes that arrive in chunks, to be taken by counts."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def take(self, count: int) -> Iterator[memoryview]:
        """Yield the next *count* bytes; fewer if no more come."""
        while count:
            self._rest = self._rest or memoryview(next(self._chunks, b""))
            if not self._rest:
                return
            part, self._rest = self._rest[:count], self._rest[count:]
            count -= len(part)
            yield part

    def skip(self, count: int) -> None:
        """Drop the next *count* bytes."""
        for _ in self.take(count):
            pass

    def end(self) -> None:
        """Read to the end, so that a connection can be used again."""
        for _ in self._chunks:
            pass


def _wrong(wanted: Wanted, found: str) -> OutsideError:
    runs = wanted.segment.runs
    more = f" and {len(runs) - 1} other ranges" if len(runs) > 1 else ""
    return OutsideError(
        f"wrong bytes came for {wanted.what}, bytes {runs[0].offset} to "
        f"{runs[0].end}{more} of the archive: {found}, released "
        f"{wanted.segment.blake3}",
        hint="run the command again; if it stays, the store is damaged",
    )


def _those(wanted: Iterable[Wanted], are_right: Iterable[bool]) -> set[str]:
    pairs = zip(wanted, are_right, strict=True)
    return {one.key for one, is_right in pairs if is_right}


def _is_right(wanted: Wanted) -> bool:
    return _blake3(wanted.place) == wanted.segment.blake3


def _blake3(place: Place) -> str:
    with _opened(place.file, os.O_RDONLY) as file:
        return blake3_of(
            os.pread(file, min(_CHUNK_BYTES, run.end - start), start)
            for run in place.runs
            for start in range(run.offset, run.end, _CHUNK_BYTES)
        )


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
