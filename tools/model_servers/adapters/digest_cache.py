"""Remembers the digests of large files, so that an unchanged file is not read again.

A file is known by its path, size, inode and times. That cannot see bytes that rot on
the disk; whoever packs the file compares its CRC-32 and sees them.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from model_servers.adapters.file_digests import SEGMENTED_MIN_BYTES, digest_file
from model_servers.core.contribution import Digests
from model_servers.core.segments import Run, Segment

_SETTLED_NS = 2 * 10**9
"""A file changed later than this before it is read may change again within the same
tick of its file system's clock, and nobody would see it."""

_FORMAT = 1


class DigestCache:
    """Digests of files, one small document per file, in a folder."""

    def __init__(
        self, folder: Path, *, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._folder = folder
        self._now_ns = now_ns

    def digest(self, file: Path) -> Digests:
        """Give a file's digests; read it only if it is small, new or changed.

        A cache that is damaged or cannot be written costs time and nothing else.

        Raises:
            OutsideError: the file cannot be read.
        """
        began_ns = self._now_ns()
        before = _state(file)
        if before is None or before["size"] < SEGMENTED_MIN_BYTES:
            return digest_file(file)
        entry = self._entry(file)
        known = _read(entry, before)
        if known is not None:
            return known
        digests = digest_file(file)
        settled = began_ns - max(before["mtime_ns"], before["ctime_ns"]) > _SETTLED_NS
        if settled and _state(file) == before:
            with suppress(OSError):
                _write(entry, before, digests)
        return digests

    def _entry(self, file: Path) -> Path:
        name = sha256(os.fsencode(file.absolute())).hexdigest()[:32]
        return self._folder / f"{name}.json"


def _state(file: Path) -> dict[str, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return {
        "format": _FORMAT,
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,
        "inode": found.st_ino,
        "device": found.st_dev,
    }


def _read(entry: Path, state: dict[str, int]) -> Digests | None:
    try:
        data: dict[str, Any] = json.loads(entry.read_bytes())
        if data["state"] != state:
            return None
        digests = data["digests"]
        segments = tuple(
            Segment(tuple(Run(*run) for run in part["runs"]), part["blake3"])
            for part in digests.pop("segments")
        )
        return Digests(**digests, segments=segments)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(entry: Path, state: dict[str, int], digests: Digests) -> None:
    """Write an entry beside its place and move it there, complete."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    partial = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}")
    try:
        partial.write_text(json.dumps({"state": state, "digests": asdict(digests)}))
        partial.replace(entry)
    finally:
        partial.unlink(missing_ok=True)
