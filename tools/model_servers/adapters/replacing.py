"""Writes files that are complete or not there, and clears away what a kill has left."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model_servers.adapters import disk
from model_servers.errors import OutsideError


@contextmanager
def replacing(target: Path) -> Iterator[int]:
    """Give an open file beside *target* that takes its place at the end of the block.

    An interrupted block leaves nothing; what a killed process has left is gone after
    the next block for the same target. Blocks in other processes are not disturbed:
    each holds a lock on its own file while it lives.

    Raises:
        OutsideError: the disk cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _clear(target)
        partial, file = _fresh(target)
        try:
            yield file
            partial.replace(target)
            disk.sync(target.parent)
        finally:
            partial.unlink(missing_ok=True)
            os.close(file)
    except OSError as error:
        raise OutsideError(
            f"{target} cannot be written: {error.strerror}", hint=disk.WRITE_AGAIN
        ) from error


def _fresh(target: Path) -> tuple[Path, int]:
    """Make and lock a file of our own; again if another one's clearing was faster."""
    while True:
        partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(partial, flags, 0o666)
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file).st_nlink:
            return partial, file
        os.close(file)


def _clear(target: Path) -> None:
    """Remove the partial files of processes that do not live any more."""
    start, end = f".{target.name}.", ".partial"
    for partial in list(target.parent.iterdir()):
        if not (partial.name.startswith(start) and partial.name.endswith(end)):
            continue
        with suppress(OSError):
            file = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                partial.unlink()
            finally:
                os.close(file)
