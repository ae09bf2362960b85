"""What several adapters ask of a disk: room, bytes that stay, and honest errors."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from model_servers.errors import OutsideError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""How a disk says that it has no room."""

SPARE_BYTES = 64 * 2**20
"""What must be left on a disk after a fetch."""

WRITE_AGAIN = "make room or correct the permissions, and run it again"
"""The hint where a file could not be written."""

_MAKE_ROOM = "make room on the disk; on a host, `ms sync prune` shows how"


def check_room(folder: Path, needed_bytes: int, *, what: str) -> None:
    """Stop before anything is fetched that would not fit.

    Raises:
        OutsideError: *folder*'s disk has less room than needed.
    """
    needed = needed_bytes + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutsideError(
            f"{what} needs {needed} bytes in {folder}, {free} are free", hint=_MAKE_ROOM
        )


def room_bytes(folder: Path) -> int:
    """Say how much a fetch may bring onto *folder*'s disk."""
    return shutil.disk_usage(folder).free - SPARE_BYTES


def sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(file: int, data: bytes | memoryview, offset: int = 0) -> None:
    """Write all of it: of one write, a disk that is nearly full takes a part."""
    view = memoryview(data)
    while view:
        count = os.pwrite(file, view, offset)
        view, offset = view[count:], offset + count


@contextmanager
def failures(what: str) -> Iterator[None]:
    """Tell failures of the disk as what they are.

    Raises:
        OutsideError: the block has raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise failure(what, error) from error


def failure(what: str, error: OSError) -> OutsideError:
    """Tell one failure of the disk as what it is."""
    hint = "check the folder's permissions"
    if error.errno in FULL:
        hint = _MAKE_ROOM
    elif isinstance(error, PermissionError) and error.filename is not None:
        path = Path(os.fsdecode(error.filename))
        # What was removed below an open folder is named without the folder.
        owner = owner_of(path) if path.is_absolute() else "the folder's owner"
        hint = f"run it as {owner}, or correct the folder's permissions"
    return OutsideError(f"{what} failed: {error}", hint=hint)


def owner_of(path: Path) -> str:
    """Name the owner of *path*, or of the nearest folder around it that is seen."""
    for place in (path, *path.parents):
        with suppress(OSError):
            return user_of(place.stat().st_uid)
    return "its owner"


def user_of(uid: int) -> str:
    """Name a user of this machine."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
