"""TorchServe's requests, read from the worker's socket in few system calls.

TorchServe 0.12 asks the kernel for every length and every field of a request on its
own, some 25 times; for a small model that costs more than the model. Here the socket
is read as far ahead as it has bytes. Nothing public lets a handler do so, hence the
check of the version: 0.12.0 is the last release.

Source: ts/protocol/otf_message_handler.py, release 0.12.0.
"""

from __future__ import annotations

import logging
import struct
import sys
from typing import Any

KNOWN_VERSION = "0.12.0"
PROTOCOL = "ts.protocol.otf_message_handler"
AHEAD_BYTES = 256 * 1024
LENGTH = struct.Struct("!i")
END = -1
"""The length that ends a list."""


def read_ahead() -> bool:
    """Have TorchServe's worker, which runs this, read its socket ahead.

    Returns:
        False, and nothing is changed, outside of a worker of the known version.
    """
    protocol, torchserve = sys.modules.get(PROTOCOL), sys.modules.get("ts")
    if protocol is None or getattr(torchserve, "__version__", "") != KNOWN_VERSION:
        return False
    streams: dict[Any, Stream] = {}

    def stream_of(connection: Any) -> Stream:
        stream = streams.get(connection)
        if stream is None:
            streams.clear()  # a worker has one connection at a time
            stream = streams[connection] = Stream(connection)
        return stream

    def retrieve_buffer(connection: Any, length: int) -> bytes:
        return stream_of(connection).take(length)

    def retrieve_inference_msg(connection: Any) -> list[dict[str, Any]]:
        return read_batch(stream_of(connection))

    # Both, or what one has read ahead would be missing to the other.
    protocol._retrieve_buffer = retrieve_buffer  # type: ignore[attr-defined]
    protocol._retrieve_inference_msg = retrieve_inference_msg  # type: ignore[attr-defined]
    return True


class Stream:
    """The bytes that come from a socket, some of them read before they are due."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._ahead = b""
        self._at = 0

    def field(self) -> bytes | None:
        """Read a length and as many bytes; None at the end of a list."""
        if self._at + 4 <= len(self._ahead):
            length: int = LENGTH.unpack_from(self._ahead, self._at)[0]
            self._at += 4
        else:
            length = LENGTH.unpack(self.take(4))[0]
        return None if length == END else self.take(length)

    def take(self, length: int) -> bytes:
        """Read exactly *length* bytes; the worker ends if its frontend has."""
        begin = self._at
        end = begin + length
        if end > len(self._ahead):
            return self._waited_for(length)
        self._at = end
        return self._ahead[begin:end]

    def _waited_for(self, length: int) -> bytes:
        parts = [self._ahead[self._at :]]
        missing = length - len(parts[0])
        while missing > 0:
            part = self._connection.recv(AHEAD_BYTES)
            if not part:
                logging.info("Frontend disconnected.")
                sys.exit(0)
            parts.append(part)
            missing -= len(part)
        self._ahead, self._at = parts[-1], len(parts[-1]) + missing
        parts[-1] = parts[-1][: self._at]
        return b"".join(parts)


def read_batch(stream: Stream) -> list[dict[str, Any]]:
    """Read a batch of requests as TorchServe hands them on, nothing in them decoded."""
    batch = []
    while (request_id := stream.field()) is not None:
        headers = []
        while (name := stream.field()) is not None:
            headers.append({"name": name, "value": stream.field()})
        parameters = []
        while (name := stream.field()) is not None:
            content_type = (stream.field() or b"").decode()
            parameters.append(
                {
                    "name": name.decode(),
                    "contentType": content_type,
                    "value": stream.field(),
                }
            )
        batch.append(
            {"requestId": request_id, "headers": headers, "parameters": parameters}
        )
    return batch
