"""A proxy before an S3 server, which does to answers what networks and servers do."""

from __future__ import annotations

import http.client
import itertools
import socket
import struct
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servers.answering import answering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ERROR = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{}</Code><Message>said the proxy</Message></Error>
"""
_HOP = {"connection", "transfer-encoding", "keep-alive", "content-length"}


class Fault(Enum):
    """What happens to one answer."""

    FLIPPED_BIT = auto()
    """One bit of the body is another."""

    CUT = auto()
    """The connection ends in the middle of the body."""

    STALL = auto()
    """Nothing comes after the first half of the body, until the client goes."""

    RESET = auto()
    """The connection is reset before a byte is answered."""


@dataclass(frozen=True)
class Refusal:
    """The server answers with an error, such as 503 and SlowDown."""

    status: int
    code: str


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request, as the proxy saw it."""

    method: str
    path: str
    body_bytes: int
    answer_bytes: int


@dataclass(kw_only=True)
class Proxy:
    """Where the proxy answers, and what it has done and will do."""

    endpoint_url: str
    faults: dict[str, deque[Fault | Refusal]] = field(default_factory=dict)
    """By method: what happens to the next answers to it."""

    broken: dict[str, Fault | Refusal] = field(default_factory=dict)
    """By the end of a path: what happens to every answer to GET."""

    dropped_headers: set[str] = field(default_factory=set)
    """Request headers, in lower case, that the server never hears of."""

    seen: list[Seen] = field(default_factory=list)
    """Every request so far."""

    before: Callable[[int], None] = lambda number: None
    """Called with the number of each request, from 0, before the server has it."""

    after: Callable[[int], None] = lambda number: None
    """Called when the server has answered, before the client knows."""

    numbers: Iterator[int] = field(default_factory=itertools.count)

    def next(self, method: str, *faults: Fault | Refusal) -> None:
        """Say what happens to the next requests of *method*."""
        self.faults.setdefault(method, deque()).extend(faults)

    def fault(self, method: str, path: str) -> Fault | Refusal | None:
        for end, fault in self.broken.items():
            if method == "GET" and path.partition("?")[0].endswith(end):
                return fault
        waiting = self.faults.get(method)
        return waiting.popleft() if waiting else None


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before the server at *upstream* on a free loopback port.

    The client's signature stays valid for headers that go on: the server sees the
    Host that the client signed.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    server.upstream = urlsplit(upstream).netloc
    server.proxy = Proxy(endpoint_url=f"http://127.0.0.1:{server.server_port}")
    with answering(server):
        yield server.proxy


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    upstream: str
    proxy: Proxy

    def handle_error(self, request, client_address) -> None:
        """Clients that go away are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        number = next(self.server.proxy.numbers)
        self.server.proxy.before(number)
        fault = self.server.proxy.fault(self.command, self.path)
        if fault is Fault.RESET:
            self._reset()
            return
        if isinstance(fault, Refusal):
            status, headers = fault.status, [("Content-Type", "text/xml")]
            answer = _ERROR.format(fault.code).encode()
        else:
            status, headers, answer = self._ask(body)
            self.server.proxy.after(number)
        self.server.proxy.seen.append(
            Seen(
                method=self.command,
                path=self.path,
                body_bytes=len(body),
                answer_bytes=len(answer),
            )
        )
        self._answer(status, headers, answer, fault)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        connection.putrequest(
            self.command, self.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in self.headers.items():
            if name.lower() not in {"expect", *self.server.proxy.dropped_headers}:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        headers = [
            (name, value)
            for name, value in answer.getheaders()
            if name.lower() not in _HOP
        ]
        if self.command == "HEAD":
            headers.append(("Content-Length", answer.getheader("Content-Length", "0")))
        try:
            return answer.status, headers, answer.read()
        finally:
            connection.close()

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
        fault: Fault | Refusal | None,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2
        match fault:
            case Fault.FLIPPED_BIT:
                body = body[:half] + bytes([body[half] ^ 1]) + body[half + 1 :]
                self.wfile.write(body)
            case Fault.CUT:
                self.wfile.write(body[:half])
                self.close_connection = True
            case Fault.STALL:
                self.wfile.write(body[:half])
                self.rfile.read(1)  # until the client has had enough
                self.close_connection = True
            case _:
                self.wfile.write(body)

    def _reset(self) -> None:
        # A socket that lingers for no time sends a reset when it is closed.
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.connection.close()
        self.close_connection = True

    def log_message(self, *arguments) -> None:
        """Say nothing."""


for _method in ("DELETE", "GET", "HEAD", "POST", "PUT"):
    setattr(_Handler, f"do_{_method}", _Handler._serve)
