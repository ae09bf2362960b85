"""Reads whole objects of a store, in order, with some reads ahead."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future

from model_servers.core.objects import Stored
from model_servers.interruption import Threads
from model_servers.ports import OnBytes, Store

_CHUNK_BYTES = 8 * 2**20
_AHEAD = 4


def chunks(
    store: Store, key: str, stored: Stored, *, on_bytes: OnBytes, start: int = 0
) -> Iterator[bytes]:
    """Yield the bytes of an object from *start*; memory does not grow with its size.

    Raises:
        OutsideError: it is not the object of *stored* any more.
    """
    waiting: deque[Future[bytes]] = deque()
    pool = Threads(_AHEAD)
    try:
        for offset in range(start, stored.size_bytes, _CHUNK_BYTES):
            length = min(_CHUNK_BYTES, stored.size_bytes - offset)
            waiting.append(
                pool.submit(store.read_range, key, offset, length, token=stored.token)
            )
            if len(waiting) == _AHEAD:
                yield _given(waiting.popleft().result(), on_bytes)
        while waiting:
            yield _given(waiting.popleft().result(), on_bytes)
    finally:
        pool.shutdown(cancel_futures=True)


def sha256(store: Store, key: str, stored: Stored, *, on_bytes: OnBytes) -> str:
    """Hash an object."""
    digest = hashlib.sha256()
    for chunk in chunks(store, key, stored, on_bytes=on_bytes):
        digest.update(chunk)
    return digest.hexdigest()


def _given(chunk: bytes, on_bytes: OnBytes) -> bytes:
    on_bytes(len(chunk))
    return chunk
