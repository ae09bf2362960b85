"""Sharing of blocks between files, as XFS and Btrfs offer it, on any file system.

What is shared takes its room here all the same, and is counted instead.
"""

from __future__ import annotations

import os
from pathlib import Path

BLOCK_BYTES = 4096
_copy_file_range = os.copy_file_range


class Sharing:
    """Copies ranges as Linux does between files of such a file system.

    Whole blocks are shared if the range begins at one in both files; what is left of
    the range is for the next call. Other ranges are copied (vfs_copy_file_range).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shared_bytes = 0

    def copy_file_range(
        self, source: int, target: int, count: int, start: int, to: int
    ) -> int:
        """Stand in the place of ``os.copy_file_range``."""
        blocks = count // BLOCK_BYTES * BLOCK_BYTES
        is_shared = blocks > 0 and start % BLOCK_BYTES == to % BLOCK_BYTES == 0
        asked = blocks if is_shared else count
        done = _copy_file_range(source, target, asked, start, to)
        self.shared_bytes += done if is_shared else 0
        return done

    def used_bytes(self) -> int:
        """Say how much room the files would take, had they shared what they can."""
        taken = sum(file.stat().st_blocks * 512 for file in self.folder.rglob("*"))
        return taken - self.shared_bytes
