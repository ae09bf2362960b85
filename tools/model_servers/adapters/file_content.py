"""A file as the content of an object that is to be."""

from __future__ import annotations

from pathlib import Path

from model_servers.errors import OutsideError


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
            raise self._unreadable(error) from error

    def read(self, offset: int, length: int) -> bytes:
        """Give exactly these bytes; fewer if the file ends before."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(offset)
                return stream.read(length)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> OutsideError:
        return OutsideError(
            f"{self._path} cannot be read: {error.strerror}",
            hint="check that it is there and can be read",
        )
