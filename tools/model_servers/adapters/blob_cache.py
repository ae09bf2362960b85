"""A folder of files named by their sha256, which forgets what was not used for long."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model_servers.adapters.file_digests import digest_file
from model_servers.core.contribution import Digests
from model_servers.errors import OutsideError

_RECENT_S = 86_400
"""Not with every use: a file whose time has not changed need not be hashed again."""


class BlobCache:
    """Blobs below one folder, at most so many bytes together."""

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int,
        digest: Callable[[Path], Digests] = digest_file,
    ) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._digest = digest

    def find(self, sha256: str, size_bytes: int) -> Path | None:
        """Give a blob, which counts as used then; None if it is not here."""
        path = self._folder / sha256
        with self._usable():
            try:
                found = path.stat()
                if found.st_size != size_bytes:
                    return None
                if time.time() - found.st_mtime > _RECENT_S:
                    os.utime(path)
            except FileNotFoundError:
                return None
        return path

    def digests(self, path: Path) -> Digests:
        """Hash a blob."""
        return self._digest(path)

    def remove(self, sha256: str) -> None:
        """Forget a blob; done if it is not here."""
        with self._usable():
            (self._folder / sha256).unlink(missing_ok=True)

    def add(
        self, sha256: str, size_bytes: int, chunks: Iterable[bytes]
    ) -> tuple[Path | None, Digests]:
        """Take a blob in, if it is the one that is meant; nothing else ever is here.

        No more than one byte above *size_bytes* is taken from *chunks*.

        Returns:
            Where it is, None if other bytes came, and the digests of what came.
        """
        with self._usable():
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, hidden = tempfile.mkstemp(prefix=".", dir=self._folder)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    digest, crc32, done = hashlib.sha256(), 0, 0
                    for chunk in _at_most(chunks, size_bytes + 1):
                        stream.write(chunk)
                        digest.update(chunk)
                        crc32, done = zlib.crc32(chunk, crc32), done + len(chunk)
                found = Digests(size_bytes=done, sha256=digest.hexdigest(), crc32=crc32)
                if (found.sha256, done) != (sha256, size_bytes):
                    return None, found
                Path(hidden).chmod(0o444)
                path = Path(hidden).replace(self._folder / sha256)
            finally:
                Path(hidden).unlink(missing_ok=True)
            self._forget(keep=path)
        return path, found

    def _forget(self, *, keep: Path) -> None:
        """Remove the blobs that were not used for the longest, until the rest fits."""
        blobs = [
            (found.st_mtime, entry.path, found.st_size)
            for entry in os.scandir(self._folder)
            if entry.is_file() and not entry.name.startswith(".")
            for found in [entry.stat()]
        ]
        total = sum(size for *_, size in blobs)
        for _, path, size in sorted(blobs):
            if total <= self._max_bytes:
                return
            if Path(path) != keep:
                Path(path).unlink(missing_ok=True)
                total -= size

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutsideError(
                f"the cache {self._folder} cannot be used: {error.strerror}",
                hint="make room, or name another folder with MODEL_SERVERS_CACHE",
            ) from error


def _at_most(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[:length]
        length -= len(chunk)
        if length <= 0:
            return
