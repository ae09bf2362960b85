"""Reads a released archive by ranges, and never two different ones in one fetch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from model_servers.core.release import Release
from model_servers.errors import OutsideError
from model_servers.ports import Store


class Archives:
    """The archives of one store, for whoever reads a few small parts of many."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._readers: dict[str, ReleasedBytes] = {}
        self._parts: dict[tuple[str, int, int], bytes] = {}

    def reader(self, release: Release) -> Callable[[int, int], bytes]:
        """Give what reads parts of a release's archive; none of them comes twice.

        Raises:
            OutsideError: when it reads; the store failed, or the archive is gone or
                another one.
        """
        key = release.key
        bytes_of = self._readers.setdefault(key, ReleasedBytes(self.store, release))

        def read_range(offset: int, length: int) -> bytes:
            part = (key, offset, length)
            if part not in self._parts:
                self._parts[part] = bytes_of.read_range(offset, length)
            return self._parts[part]

        return read_range


class ReleasedBytes:
    """The bytes of one archive in a store, pinned at the first read."""

    def __init__(self, store: Store, release: Release) -> None:
        self._store = store
        self._release = release
        self._lock = threading.Lock()
        self._token: str | None = None

    def read_range(self, offset: int, length: int) -> bytes:
        """Give exactly these bytes, like ``chunks``."""
        return b"".join(self.chunks(offset, length))

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        """Yield exactly these bytes as they arrive.

        Raises:
            OutsideError: the store failed, or the archive is gone or another one.
        """
        with self._lock:
            if self._token is None:
                self._token = self._pinned()
        return self._store.chunks(self._release.key, offset, length, token=self._token)

    def _pinned(self) -> str:
        key, expected = self._release.key, self._release.archive.size_bytes
        stored = self._store.stat(key)
        if stored is not None and stored.size_bytes == expected:
            return stored.token
        found = "is gone" if stored is None else f"has {stored.size_bytes} bytes"
        raise OutsideError(
            f"{self._store.address}/{key} {found}, {self._release.ref} was released "
            f"with {expected}",
            hint="restore it from a copy of the store, or publish it again",
        )
