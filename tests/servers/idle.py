"""A TorchServe that serves nothing, for commands that only look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from servers.answering import answering


class _Idle(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path.partition("?")[0] == "/models"
        body = json.dumps({"models": []} if found else {"code": 404}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def idle_torchserve() -> Iterator[str]:
    """Run one for as long as the block takes, and give its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Idle)
    with answering(server):
        yield f"http://127.0.0.1:{server.server_port}"
