"""A model's documents as texts that are edited in place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model_servers.adapters import disk, texts
from model_servers.adapters.strict_yaml import UnreadableError, parse
from model_servers.errors import OutsideError, RequestError

_NEW_FILE_MODE = 0o644


class ModelTexts:
    """The texts of the models below one ``registry/`` directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str, path: str) -> str:
        """Give a text with its line ends as they are."""
        file = self._root / name / path
        try:
            texts.read(file)  # for its limits, and what it says of them
            return file.read_bytes().decode()
        except texts.NotTextError as error:
            raise RequestError(f"{file}: {error}", hint=error.fix) from error

    def parse(
        self, name: str, path: str, text: str
    ) -> tuple[Any, Mapping[str, tuple[int, int]]]:
        """Read a text as strict YAML: its value and the places in it."""
        try:
            return parse(text)
        except UnreadableError as error:
            place = ":".join(
                str(part) for part in (path, error.line, error.column) if part
            )
            raise RequestError(
                f"{self._root / name}/{place}: {error}",
                hint=f"ms validate {name}",
            ) from error

    def replace(self, name: str, path: str, text: str) -> None:
        """Put *text* in the place of a file, with the file's own mode if it is there.

        Interrupted, the file is as it was, or complete.
        """
        # A link stays one: what it leads to is replaced.
        file = Path(os.path.realpath(self._root / name / path))
        try:
            descriptor, hidden = tempfile.mkstemp(prefix=".ms-", dir=file.parent)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(text.encode())
                    stream.flush()
                    os.fsync(stream.fileno())
                if file.exists():
                    shutil.copymode(file, hidden)
                else:
                    Path(hidden).chmod(_NEW_FILE_MODE)
                Path(hidden).replace(file)
            finally:
                Path(hidden).unlink(missing_ok=True)
        except OSError as error:
            raise OutsideError(
                f"{file} cannot be written: {error.strerror}",
                hint=disk.WRITE_AGAIN,
            ) from error
