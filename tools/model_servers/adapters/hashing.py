"""Spreads hash work over threads: hashes of OpenSSL and zlib run beside each other."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from model_servers.interruption import Threads

CHUNK_BYTES = 4 * 2**20
"""What is read at once: the threads' handshakes no longer show, memory does not yet."""

_THREADS = 4
_INLINE_BYTES = 2**15
"""What is hashed sooner than handed to a thread."""


class Crc32:
    """A CRC-32 with the face of a hash."""

    def __init__(self) -> None:
        self.value = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self.value = zlib.crc32(data, self.value)


class Followers:
    """Gives chunks to several consumers at once, and each consumer its chunks in order.

    The caller reads or writes the next chunk meanwhile.
    """

    def __init__(self, pool: Threads) -> None:
        self._pool = pool
        self._pending: list[Future[object]] = []

    def feed(self, data: bytes, *consumers: Callable[[bytes], object]) -> None:
        """Start on a chunk once the one before it is done."""
        self.wait()
        if len(data) < _INLINE_BYTES:
            for consume in consumers:
                consume(data)
        else:
            self._pending = [self._pool.submit(each, data) for each in consumers]

    def wait(self) -> None:
        """Return when every consumer has everything; raise what one has raised."""
        for future in self._pending:
            future.result()
        self._pending = []


@contextmanager
def followers() -> Iterator[Followers]:
    """Give followers whose threads are gone in the end."""
    with Threads(_THREADS) as pool:
        fed = Followers(pool)
        yield fed
        fed.wait()
