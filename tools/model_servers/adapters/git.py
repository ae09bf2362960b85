"""What git says about a checkout."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_PRIVATE_ADDRESS = re.compile(r"(?:\d+\+)?([A-Za-z0-9-]+)@users\.noreply\.github\.com")


def commit(directory: Path) -> str | None:
    """Give the commit that *directory* is at.

    None outside a git checkout, and where files below *directory* differ from the
    commit: a release must not name a commit it cannot be rebuilt from.
    """
    changes = _git(directory, "status", "--porcelain", "--", ".")
    if changes is None or changes:
        return None
    return _git(directory, "rev-parse", "HEAD")


def version() -> str | None:
    """Give git's version; None if there is no git."""
    told = _git(Path(), "--version")
    return told.removeprefix("git version ") if told else None


def root(directory: Path) -> str | None:
    """Give the root of the checkout that *directory* is in; None outside one."""
    return _git(directory, "rev-parse", "--show-toplevel")


def maintainer(directory: Path) -> str | None:
    """Say who works in *directory*: a GitHub account, a mail address, or None.

    Source: GitHub's private addresses name the account
        (https://docs.github.com/en/account-and-profile/reference/email-addresses-reference).
    """
    account = _git(directory, "config", "github.user")
    email = _git(directory, "config", "user.email")
    private = _PRIVATE_ADDRESS.fullmatch(email or "")
    if account or private:
        return f"@{account or private.group(1)}"  # type: ignore[union-attr]
    return email or None


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
