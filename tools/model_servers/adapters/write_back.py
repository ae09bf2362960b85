"""Sets the disk to work while bytes are written, so that the end need not wait for it.

Measured: 500 MB that arrive over loopback are on the disk 0.1 to 0.2 s earlier than
if one sync at the end writes them all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from model_servers.interruption import Threads

_EVERY_BYTES = 64 * 2**20


class WriteBack:
    """Calls a sync in a thread of its own, one at a time, again and again."""

    def __init__(self, sync: Callable[[], None], pool: Threads) -> None:
        self._sync = sync
        self._pool = pool
        self._lock = threading.Lock()
        self._unsynced_bytes = 0
        self._running: Future[None] | None = None

    def wrote(self, count: int) -> None:
        """Hear of *count* more bytes; raise what the disk has said meanwhile."""
        with self._lock:
            self._unsynced_bytes += count
            if self._unsynced_bytes < _EVERY_BYTES:
                return
            if self._running is not None:
                if not self._running.done():
                    return
                self._running.result()
            self._unsynced_bytes = 0
            self._running = self._pool.submit(self._sync)

    def wait(self) -> None:
        """Return when nothing runs any more; raise what the disk has said."""
        if self._running is not None:
            self._running.result()


@contextmanager
def write_back(sync: Callable[[], None]) -> Iterator[WriteBack]:
    """Give a write-back whose thread is gone in the end.

    Nothing is sure to be on the disk then: the caller syncs once more.

    Args:
        sync: writes what is dirty to the disk.
    """
    with Threads(1) as pool:
        behind = WriteBack(sync, pool)
        yield behind
        behind.wait()
