"""Reads objects out of S3; what breaks off on its way is asked for again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from model_servers.adapters.s3_errors import BROKEN_OFF

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_READS = 5
_LONGEST_WAIT_S = 8.0
_CHUNK_BYTES = 2**20
"""Hashed and written while it is still in the processor's cache."""


def whole(s3: S3Client, request: dict[str, Any]) -> tuple[bytes, Any]:
    """Give a small object's bytes, and what the server said of it."""
    for failures in range(1, _READS + 1):
        answer = s3.get_object(**request)
        try:
            return answer["Body"].read(), answer
        except BROKEN_OFF:
            if failures == _READS:
                raise
            _wait(failures)
    raise AssertionError  # the last read returns or raises


def ranged(
    s3: S3Client, request: dict[str, Any], offset: int, length: int, token: str | None
) -> Iterator[bytes]:
    """Yield *length* bytes from *offset* as they arrive; fewer if there are no more.

    A body that breaks off is asked for again from where it did, which boto3 does
    not do, and only of the same object.
    """
    done = failures = 0
    while done < length:
        wanted = {**request, "Range": f"bytes={offset + done}-{offset + length - 1}"}
        if token is not None:
            wanted["IfMatch"] = f'"{token}"'
        answer = s3.get_object(**wanted)
        token = token or answer["ETag"].strip('"')
        try:
            with closing(answer["Body"]) as body:
                chunks: Iterable[bytes] = body.iter_chunks(_CHUNK_BYTES)
                if answer["ResponseMetadata"]["HTTPStatusCode"] != 206:
                    # The server knows no ranges and gives everything.
                    chunks = _cut(chunks, offset + done, length - done)
                for chunk in chunks:
                    done, failures = done + len(chunk), 0
                    yield chunk
        except BROKEN_OFF:
            failures += 1
            if failures == _READS:
                raise
            _wait(failures)
        else:
            return


def _cut(chunks: Iterable[bytes], skipped: int, length: int) -> Iterator[bytes]:
    """Yield *length* of the bytes, after those that are skipped."""
    start, end, at = skipped, skipped + length, 0
    for chunk in chunks:
        if part := chunk[max(0, start - at) : max(0, end - at)]:
            yield part
        at += len(chunk)
        if at >= end:
            return


def _wait(failures: int) -> None:
    time.sleep(random.uniform(0, min(_LONGEST_WAIT_S, 2**failures / 8)))  # noqa: S311 - no secret
