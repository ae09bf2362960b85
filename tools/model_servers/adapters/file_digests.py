"""Digests of files and bytes: CRC-32, sha256 and segments, all in one read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from model_servers.adapters.hashing import CHUNK_BYTES, Crc32, followers
from model_servers.adapters.marked_file import unreadable
from model_servers.adapters.segment_digests import SegmentDigests
from model_servers.adapters.tensor_ranges import tensor_ranges
from model_servers.core.contribution import Digests
from model_servers.core.segments import Run, cut

SEGMENTED_MIN_BYTES = 2**20
"""A smaller file is one segment: cutting it would gain less than it costs."""


def digest_file(file: Path) -> Digests:
    """Read a file once and tell all its digests.

    Raises:
        OutsideError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            size_bytes = file.stat().st_size
            large = size_bytes >= SEGMENTED_MIN_BYTES
            tensors = tensor_ranges(file) if large else []
            return _digests(_chunks(stream), size_bytes, tensors)
    except OSError as error:
        raise unreadable(file, error) from error


def digest_bytes(data: bytes) -> Digests:
    """Tell all digests of bytes that are in memory."""
    view = memoryview(data)
    starts = range(0, len(data), CHUNK_BYTES)
    chunks = (bytes(view[start : start + CHUNK_BYTES]) for start in starts)
    return _digests(chunks, len(data), [])


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _digests(
    chunks: Iterable[bytes], expected_bytes: int, tensors: list[Run]
) -> Digests:
    whole, crc32, size_bytes = hashlib.sha256(), Crc32(), 0
    parts = SegmentDigests(cut(expected_bytes, tensors))
    with followers() as fed:
        for chunk in chunks:
            fed.feed(chunk, whole.update, parts.update, crc32.update)
            size_bytes += len(chunk)
    return Digests(
        size_bytes=size_bytes,
        sha256=whole.hexdigest(),
        crc32=crc32.value,
        segments=parts.segments() if size_bytes == expected_bytes else (),
    )
