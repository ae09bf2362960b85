"""A web server of a test, which answers in a thread of its own."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socketserver import BaseServer

_LOOK_S = 0.01
"""How often it looks whether it shall end; half a second, unless it is told."""


@contextmanager
def answering(server: BaseServer) -> Iterator[None]:
    """Let *server* answer for as long as the block takes, and close it then."""
    thread = threading.Thread(target=server.serve_forever, args=(_LOOK_S,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
