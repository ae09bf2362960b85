"""Who runs this, for histories that people read."""

from __future__ import annotations

import getpass
import os
import socket


def who() -> str:
    """Give ``user@machine``; the user who became root, where that is known."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # no name for this user, as in some containers
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
