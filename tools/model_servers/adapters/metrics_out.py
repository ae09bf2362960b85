"""Where monitoring finds metrics: a file, and a port of this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from model_servers.adapters import disk
from model_servers.adapters.replacing import replacing
from model_servers.errors import OutsideError

_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def write(path: Path, text: str) -> None:
    """Write a file for a text file collector: the old text, or all of the new one.

    Raises:
        OutsideError: the disk cannot be written.
    """
    with replacing(path) as file:
        disk.write(file, text.encode())
        os.fchmod(file, 0o644)  # the collector is another user


@contextmanager
def served(port: int, text: Callable[[], str]) -> Iterator[int]:
    """Answer ``GET /metrics`` on the loopback for as long as the block takes.

    Args:
        port: to listen on; 0 for any that is free.
        text: gives the metrics of the moment.

    Yields:
        The port.

    Raises:
        OutsideError: the port is in use.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.path.partition("?")[0] == "/metrics"
            body = text().encode() if is_known else b"ask for /metrics\n"
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Type", _TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing; only the command line talks."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise OutsideError(
            f"port {port} cannot be used for metrics: {error.strerror}",
            hint="stop what listens there, or name another with --metrics-port",
        ) from error
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield int(server.server_port)
        finally:
            server.shutdown()
