"""A blob that is still coming: it has one name, and goes on where an earlier run ended.

While a blob comes, ``.<sha256>.part`` grows, and ``.<sha256>.tag`` says what its source
calls that version of it. Both are gone in the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from model_servers.core.contribution import Digests
from model_servers.core.objects import Begun, Chunk

Source = Callable[[Begun], Iterable[Chunk]]
"""Gives the bytes that are missing, or all of them."""

PART = ".part"
"""The end of the file's name."""

_CHUNK_BYTES = 2**20


class PartialBlob:
    """The file of a blob that is coming; whoever has it open is alone with it."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self.path = path
        self._stream = stream
        self._tag = path.with_suffix(".tag")

    @property
    def length(self) -> int:
        """Say how much has come, in this run or earlier ones."""
        return os.fstat(self._stream.fileno()).st_size

    def fill(self, size_bytes: int, source: Source) -> Digests:
        """Bring what is missing, at most one byte above *size_bytes*, and hash it all.

        Interrupted, the file and its tag tell the next run where to go on.
        """
        running = self._hashed()
        tag = self._read_tag()
        if running.length == size_bytes:
            return running.digests()
        for chunk in source(Begun(running.length, tag)):
            if chunk.offset != running.length:
                self.clear()
                running = _Running()
            if running.length == 0:
                self._tag.write_text(chunk.tag)
            data = chunk.data[: size_bytes + 1 - running.length]
            self._stream.write(data)
            running.update(data)
            if running.length > size_bytes:
                break
        self._stream.flush()
        return running.digests()

    def clear(self) -> None:
        """Drop what has come."""
        self._stream.seek(0)
        self._stream.truncate()

    def done(self, target: Path) -> None:
        """Give the file its final name."""
        self._tag.unlink(missing_ok=True)
        self.path.chmod(0o444)
        self.path.replace(target)

    def close(self) -> None:
        """Leave what has come for another run; nothing if nothing has."""
        self._stream.flush()
        if self.length == 0 and _is_at(self.path, self._stream):
            self.remove()

    def remove(self) -> None:
        """Take the files away."""
        self._tag.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _hashed(self) -> _Running:
        running = _Running()
        self._stream.seek(0)
        while data := self._stream.read(_CHUNK_BYTES):
            running.update(data)
        return running

    def _read_tag(self) -> str:
        try:
            return self._tag.read_text(errors="replace")
        except FileNotFoundError:
            return ""


@contextmanager
def partial_blob(folder: Path, sha256: str) -> Iterator[PartialBlob]:
    """Open the file of a blob for the block, once nobody else has it open."""
    path = folder / f".{sha256}{PART}"
    while True:
        with path.open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if not _is_at(path, stream):
                continue  # whoever had it has given it its final name
            partial = PartialBlob(path, stream)
            try:
                yield partial
            finally:
                partial.close()
            return


def remove_unless_used(path: Path) -> bool:
    """Take away what a run has left; False if one is at work on it."""
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            PartialBlob(path, stream).remove()
    except BlockingIOError:
        return False
    except FileNotFoundError:
        pass
    return True


@dataclass
class _Running:
    """Digests of what has come so far."""

    length: int = 0
    crc32: int = 0
    sha256: Any = field(default_factory=hashlib.sha256)

    def update(self, data: bytes) -> None:
        self.length += len(data)
        self.crc32 = zlib.crc32(data, self.crc32)
        self.sha256.update(data)

    def digests(self) -> Digests:
        return Digests(
            size_bytes=self.length, sha256=self.sha256.hexdigest(), crc32=self.crc32
        )


def _is_at(path: Path, stream: BinaryIO) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(stream.fileno()))
