"""A file system that shares blocks between files, in a file of our own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def xfs(folder: Path, *, size_bytes: int = 2**30) -> Iterator[Path]:
    """Mount an empty XFS for the block.

    Args:
        folder: has its file, which takes room only for what is written.
        size_bytes: of the file system.

    Raises:
        OSError: mkfs.xfs is not installed.
        subprocess.CalledProcessError: this user, or this kernel, cannot mount it.
    """
    image, mounted = folder / "xfs.img", folder / "xfs"
    image.touch()
    mounted.mkdir()
    with image.open("r+b") as stream:
        stream.truncate(size_bytes)
    _run("mkfs.xfs", "-q", "-m", "reflink=1", str(image))
    _run("mount", "-o", "loop", str(image), str(mounted))
    try:
        yield mounted
    finally:
        _run("umount", str(mounted))
        image.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
