"""Every file below a directory, told without reading or following anything."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from model_servers.core.contribution import FileFacts


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What stands below a directory; paths are relative to it."""

    files: dict[str, FileFacts] = field(default_factory=dict)
    """Regular files, links to such, and links that lead out of the directory."""

    dead_links: list[str] = field(default_factory=list)
    """Links to nothing, or to themselves."""

    unreadable: dict[str, str] = field(default_factory=dict)
    """Directories that cannot be listed, and why."""


def list_files(directory: Path) -> Listing:
    """List what is below *directory*; pipes, sockets and devices are not there."""
    listing = Listing()
    home = Path(os.path.realpath(directory))
    for entry in _entries(directory, listing.unreadable, directory):
        path = Path(entry.path).relative_to(directory).as_posix()
        if not entry.is_symlink():
            if entry.is_file():
                size_bytes = entry.stat().st_size
                listing.files[path] = FileFacts(size_bytes=size_bytes)
            continue
        # Path.resolve raises RuntimeError for a link to itself before 3.13.
        aim = Path(os.path.realpath(entry.path))
        if aim.is_dir() or not aim.is_relative_to(home):
            size_bytes = entry.stat(follow_symlinks=False).st_size
            listing.files[path] = FileFacts(size_bytes=size_bytes, leaves_model=True)
        elif aim.is_file():
            listing.files[path] = FileFacts(
                size_bytes=aim.stat().st_size,
                link_to=aim.relative_to(home).as_posix(),
            )
        elif not os.path.lexists(aim) or aim.is_symlink():
            listing.dead_links.append(path)
    return listing


def _entries(
    folder: Path, unreadable: dict[str, str], top: Path
) -> Iterator[os.DirEntry[str]]:
    """Yield all that is no directory, by path."""
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            with os.scandir(current) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            shown = current.relative_to(top).as_posix()
            unreadable[shown] = str(error.strerror)
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            else:
                yield entry


def stamp(directory: Path) -> dict[str, tuple[int, int]]:
    """Give time and size of every file, of which one differs after an edit.

    What Python writes beside sources is left out.
    """
    found: dict[str, tuple[int, int]] = {}
    for entry in _entries(directory, {}, directory):
        if "__pycache__" not in entry.path:
            with suppress(OSError):  # gone since it was listed
                status = entry.stat()
                found[entry.path] = (status.st_mtime_ns, status.st_size)
    return found
