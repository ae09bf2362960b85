"""A folder of files named by their sha256, which forgets what was not used for long."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model_servers.adapters.file_digests import digest_file
from model_servers.adapters.partial_blob import (
    PART,
    PartialBlob,
    Source,
    partial_blob,
    remove_unless_used,
)
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
        self, sha256: str, size_bytes: int, source: Source
    ) -> tuple[Path | None, Digests]:
        """Take a blob in, if it is the one that is meant; nothing else ever is here.

        No more than one byte above *size_bytes* is taken from *source*. Interrupted,
        the next call goes on with what has come. Of several at once one fetches.

        Returns:
            Where it is, None if other bytes came, and the digests of what came.
        """
        with self._usable():
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                with partial_blob(self._folder, sha256) as partial:
                    return self._taken(sha256, size_bytes, source, partial)
            finally:
                self._forget(keep=sha256)

    def _taken(
        self, sha256: str, size_bytes: int, source: Source, partial: PartialBlob
    ) -> tuple[Path | None, Digests]:
        path = self.find(sha256, size_bytes)
        if path is not None:
            return path, self.digests(path)
        was_begun = partial.length > 0
        found = partial.fill(size_bytes, source)
        if was_begun and found.sha256 != sha256:
            # The rest may be of another file than the beginning.
            partial.clear()
            found = partial.fill(size_bytes, source)
        if (found.sha256, found.size_bytes) != (sha256, size_bytes):
            partial.remove()
            return None, found
        path = self._folder / sha256
        partial.done(path)
        return path, found

    def _forget(self, *, keep: str) -> None:
        """Remove the files that were not used for the longest, until the rest fits."""
        files = sorted(self._files())
        total = sum(size for *_, size in files)
        for _, path, size in files:
            if total <= self._max_bytes:
                return
            if keep not in path.name and _is_removed(path):
                total -= size

    def _files(self) -> Iterator[tuple[float, Path, int]]:
        """Yield blobs, also those that have not come to their end: time, path, size."""
        for path in self._folder.iterdir():
            if path.suffix in ("", PART):
                with suppress(FileNotFoundError):
                    found = path.stat()
                    yield found.st_mtime, path, found.st_size

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutsideError(
                f"the cache {self._folder} cannot be used: {error.strerror}",
                hint="make room, or name another folder with MODEL_SERVERS_CACHE",
            ) from error


def _is_removed(path: Path) -> bool:
    """Remove a file; False if another process is at work on it."""
    if path.suffix == PART:
        return remove_unless_used(path)
    path.unlink(missing_ok=True)
    return True
