"""A file system that shares blocks between files, in a file of our own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE_BYTES = 2**30
"""Only what is written takes room."""


@contextmanager
def xfs(folder: Path) -> Iterator[Path]:
    """Mount an empty XFS for the block.

    Raises:
        OSError: mkfs.xfs is not installed.
        subprocess.CalledProcessError: this user, or this kernel, cannot mount it.
    """
    image, mounted = folder / "xfs.img", folder / "xfs"
    image.touch()
    mounted.mkdir()
    with image.open("r+b") as stream:
        stream.truncate(SIZE_BYTES)
    _run("mkfs.xfs", "-q", "-m", "reflink=1", str(image))
    _run("mount", "-o", "loop", str(image), str(mounted))
    try:
        yield mounted
    finally:
        _run("umount", str(mounted))
        image.unlink()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
