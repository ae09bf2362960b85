"""What git says about a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit(directory: Path) -> str | None:
    """Give the commit that *directory* is at.

    None outside a git checkout, and where files below *directory* differ from the
    commit: a release must not name a commit it cannot be rebuilt from.
    """
    changes = _git(directory, "status", "--porcelain", "--", ".")
    if changes is None or changes:
        return None
    return _git(directory, "rev-parse", "HEAD")


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
