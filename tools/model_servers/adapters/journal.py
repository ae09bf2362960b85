"""A file of lines that grows, so that long work can go on where it stopped."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from model_servers.errors import OutsideError


class FileJournal:
    """Lines in one file; a line that was not written to its end is lost."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> list[str]:
        """Give the lines, oldest first; none if there is no such file yet."""
        try:
            text = self._path.read_bytes().decode(errors="replace")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unusable(error) from error
        return text.split("\n")[:-1]

    def add(self, line: str) -> None:
        """Write one more line."""
        try:
            with self._path.open("ab") as stream:
                stream.write(f"{line}\n".encode())
        except OSError as error:
            raise self._unusable(error) from error

    def replace(self, lines: Iterable[str]) -> None:
        """Write exactly these lines; interrupted, the old ones are still there."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, hidden = tempfile.mkstemp(prefix=".ms-", dir=self._path.parent)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write("".join(f"{line}\n" for line in lines).encode())
                Path(hidden).replace(self._path)
            finally:
                Path(hidden).unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> OutsideError:
        return OutsideError(
            f"{self._path} cannot be used: {error.strerror}",
            hint="correct its permissions, or name another folder with --work",
        )
