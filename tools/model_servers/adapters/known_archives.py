"""Remembers the sha256 of archives: packed again, they need not be hashed as a whole.

An archive is known by all that decides about its bytes: its framing, and where which
members stand in it. Whoever packs it still compares every input with its digests.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from pathlib import Path

_SHA256 = re.compile(r"[0-9a-f]{64}")


class KnownArchives:
    """Digests of archives, one small file per archive, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def sha256(self, key: str) -> str:
        """Give an archive's sha256; none if it is not known, or the entry is damaged.

        Args:
            key: the sha256, hex, of what decides about the archive's bytes.
        """
        with suppress(OSError, ValueError):
            found, _, sha256 = (self._folder / key[:32]).read_text().partition(" ")
            if found == key and _SHA256.fullmatch(sha256):
                return sha256
        return ""

    def keep(self, key: str, sha256: str) -> None:
        """Remember one. Where that cannot be written, it costs time, nothing else."""
        entry = self._folder / key[:32]
        partial = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}")
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_text(f"{key} {sha256}")
                partial.replace(entry)
            finally:
                partial.unlink(missing_ok=True)
