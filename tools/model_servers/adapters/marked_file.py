"""Files that are read again after they were hashed, and have to be as they were then.

Neither a file's times nor its inode tell all: who writes through a mapping changes no
time, and two changes within one tick of the file system's clock have the same.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_servers.adapters.hashing import CHUNK_BYTES, followers
from model_servers.core.contribution import Digests
from model_servers.errors import OutsideError

_MARK_BYTES = 2**17
"""At most so much is read beside the wanted bytes, at either end."""


class Marks:
    """A CRC-32 that remembers its values on the way, so that parts can be compared."""

    def __init__(self) -> None:
        self.value = 0
        self.size_bytes = 0
        self._passed = [0]

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        rest = memoryview(data)
        while rest:
            count = _MARK_BYTES - self.size_bytes % _MARK_BYTES
            part, rest = rest[:count], rest[count:]
            self.value = zlib.crc32(part, self.value)
            self.size_bytes += len(part)
            if self.size_bytes % _MARK_BYTES == 0:
                self._passed.append(self.value)

    def confirms(self, digests: Digests) -> bool:
        """Say whether the bytes were those that were hashed before."""
        return (self.size_bytes, self.value) == (digests.size_bytes, digests.crc32)

    def around(self, offset: int, length: int) -> tuple[int, int]:
        """Give the nearest marks, the file's end being one, around some bytes."""
        end = offset + length
        return (
            offset - offset % _MARK_BYTES,
            min(end + -end % _MARK_BYTES, self.size_bytes),
        )

    def at(self, mark: int) -> int:
        """Give the value up to a mark."""
        is_end = mark == self.size_bytes
        return self.value if is_end else self._passed[mark // _MARK_BYTES]


def read(path: Path, marks: Marks, offset: int, length: int) -> bytes:
    """Give exactly these bytes of a file.

    Raises:
        OutsideError: it cannot be read, or has other bytes than those marked.
    """
    end = offset + length
    start, stop = marks.around(offset, length)
    value = marks.at(start)
    with opened(path) as file, _reading(path):
        value = zlib.crc32(_exactly(file, start, offset), value)
        data = _exactly(file, offset, end)
        value = zlib.crc32(data, value)
        value = zlib.crc32(_exactly(file, end, stop), value)
    if len(data) != length or value != marks.at(stop):
        raise changed(path)
    return data


def marked(path: Path, sha256: str) -> Marks:
    """Read a file that was hashed before, and mark its bytes.

    Raises:
        OutsideError: it cannot be read, or has another digest by now.
    """
    marks, digest = Marks(), hashlib.sha256()
    done = 0
    with opened(path) as file, _reading(path), followers() as fed:
        while data := os.pread(file, CHUNK_BYTES, done):
            fed.feed(data, marks.update, digest.update)
            done += len(data)
    if digest.hexdigest() != sha256:
        raise changed(path)
    return marks


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file to read.

    Raises:
        OutsideError: it cannot be opened.
    """
    with _reading(path):
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


def unreadable(path: Path, error: OSError) -> OutsideError:
    """Say why a file cannot be read."""
    return OutsideError(
        f"{path} cannot be read: {error.strerror}",
        hint="check that it is there and can be read",
    )


def changed(path: Path) -> OutsideError:
    """Say that a file has other bytes than those that were hashed."""
    return OutsideError(
        f"{path} changed after it was hashed",
        hint="run the command again when nothing writes to the file",
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from error


def _exactly(file: int, start: int, end: int) -> bytes:
    """Read up to *end*; fewer bytes only if the file ends before."""
    data = os.pread(file, end - start, start)
    while data and (more := os.pread(file, end - start - len(data), start + len(data))):
        data += more
    return data
