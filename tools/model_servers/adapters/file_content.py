"""A file as the content of an object that is to be."""

from __future__ import annotations

from pathlib import Path

from model_servers.adapters import marked_file


class HashedContent:
    """The bytes of somebody's file, as they were when it was hashed."""

    def __init__(self, path: Path, sha256: str) -> None:
        """Read the file once more.

        Raises:
            OutsideError: it cannot be read, or has another digest by now.
        """
        self._path = path
        self._marks = marked_file.marked(path, sha256)

    @property
    def size_bytes(self) -> int:
        """How many there are."""
        return self._marks.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Give exactly these bytes; fewer if the file ends before.

        Raises:
            OutsideError: it cannot be read, or has changed since it was hashed.
        """
        start = min(offset, self.size_bytes)
        count = min(length, self.size_bytes - start)
        return marked_file.read(self._path, self._marks, start, count)


class FileContent:
    """The bytes of a file, which nobody writes to meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def size_bytes(self) -> int:
        """How many there are."""
        try:
            return self._path.stat().st_size
        except OSError as error:
            raise marked_file.unreadable(self._path, error) from error

    def read(self, offset: int, length: int) -> bytes:
        """Give exactly these bytes; fewer if the file ends before."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(offset)
                return stream.read(length)
        except OSError as error:
            raise marked_file.unreadable(self._path, error) from error
