"""An HTTP server that wants TorchServe's tokens, and serves no model."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servers.answering import answering

_REFUSED = {
    "code": 400,
    "type": "InvalidKeyException",
    "message": "Token Authorization failed. Token either incorrect, expired, or not "
    "provided correctly",
}
_LATER = "2100-01-01T00:00:00.000000Z"


@dataclass
class GuardedManagement:
    """The keys of a server, and the file in which clients find them."""

    file: Path
    keys: dict[str, str] = field(default_factory=dict)
    on_refusal: Callable[[], None] = lambda: None
    """Called before a request is refused for its token."""

    before_answer: Callable[[], None] = lambda: None
    """Called before every answer."""

    def __post_init__(self) -> None:
        for kind in ("management", "inference", "API"):
            self.renew(kind)

    def renew(self, kind: str) -> None:
        """Make a new key; the old one is void."""
        self.keys[kind] = secrets.token_hex(4)
        shown = {
            one: {"key": key, "expiration time": _LATER}
            for one, key in self.keys.items()
        }
        self.file.write_text(json.dumps(shown))

    def answer(self, path: str, token: str) -> tuple[int, object]:
        """Answer a request as TorchServe 0.12 does."""
        if path.startswith("/token"):
            if token != self.keys["API"]:
                return 400, _REFUSED
            self.renew(path.rpartition("=")[2])
            return 200, {}
        is_prediction = path.startswith("/predictions")
        if token != self.keys["inference" if is_prediction else "management"]:
            self.on_refusal()
            return 400, _REFUSED
        return (404, {"code": 404}) if is_prediction else (200, {"models": []})


@contextmanager
def guarded_management(file: Path) -> Iterator[tuple[str, GuardedManagement]]:
    """Run such a server for as long as the block takes; give its address too."""
    guarded = GuardedManagement(file)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            guarded.before_answer()
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, answer = guarded.answer(self.path, token)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name is http.server's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with answering(server):
        yield f"http://127.0.0.1:{server.server_port}", guarded
