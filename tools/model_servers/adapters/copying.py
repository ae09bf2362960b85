"""Copies files and ranges of them; a file system that can share blocks shares them."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path

_CANNOT = {
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EIO,
}
"""How kernels and file systems say that they do not copy between these two files."""

_CHUNK_BYTES = 4 * 2**20
_BLOCK_BYTES = 4096
"""Kernels share ranges that begin at whole blocks, and copy others."""

_FICLONE = 0x40049409


def copy_range(source: int, start: int, target: int, to: int, length: int) -> int:
    """Copy *length* bytes from *start* of one open file to place *to* of another.

    Returns:
        The bytes copied; fewer than asked where the source ends before.
    """
    head = min(-start % _BLOCK_BYTES, length)
    done = _copy_all(source, start, target, to, head)
    return done + _copy_all(source, start + done, target, to + done, length - done)


def share(source: Path, target: Path) -> None:
    """Give *target* the content of *source*: reflink, else hard link, else copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    with suppress(OSError), source.open("rb") as original, target.open("xb") as clone:
        if clones(original.fileno(), clone.fileno()):
            target.chmod(0o444)
            return
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
        target.chmod(0o444)


def clones(source: int, target: int) -> bool:
    """Let an empty file share all blocks of another; False where that cannot be."""
    with suppress(OSError):  # most file systems cannot
        fcntl.ioctl(target, _FICLONE, source)
        return True
    return False


def _copy_all(source: int, start: int, target: int, to: int, length: int) -> int:
    copied = 0
    while copied < length:
        count = _copy(source, start + copied, target, to + copied, length - copied)
        if count == 0:
            break
        copied += count
    return copied


def _copy(source: int, start: int, target: int, to: int, length: int) -> int:
    try:
        count = os.copy_file_range(source, target, length, start, to)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        count = 0
    # Some file systems answer 0 where they cannot, and not only at the end.
    return count or os.pwrite(
        target, os.pread(source, min(length, _CHUNK_BYTES), start), to
    )
