"""Files of a model as text, bounded in size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

MAX_TEXT_BYTES = 1_000_000
"""Nobody writes more by hand; what is larger is data, and not read as text."""

_PROBE_BYTES = 8192


class NotTextError(Exception):
    """The file cannot be read as text; it says why, and what to do."""

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


def read(file: Path, *, at_most_bytes: int = MAX_TEXT_BYTES) -> str:
    """Read a text that must be one.

    Raises:
        NotTextError: it is too large, not UTF-8, or cannot be read.
    """
    data = _read(file, at_most_bytes + 1, is_wanted=bool)
    if len(data) > at_most_bytes:
        raise NotTextError(
            f"the file has more than {at_most_bytes} bytes; no more are read",
            fix="make it smaller",
        )
    try:
        return _with_plain_line_ends(data.decode())
    except UnicodeDecodeError as error:
        raise NotTextError(
            f"byte {error.start} is not UTF-8", fix="save the file as UTF-8"
        ) from error


def read_if_text(file: Path) -> str:
    """Read what may be a text; empty if it is binary or large.

    Raises:
        NotTextError: it cannot be read at all.
    """
    data = _read(file, MAX_TEXT_BYTES + 1, is_wanted=_is_text)
    if len(data) > MAX_TEXT_BYTES:
        return ""
    return _with_plain_line_ends(data.decode(errors="replace"))


def _read(file: Path, size_bytes: int, *, is_wanted: Callable[[bytes], bool]) -> bytes:
    try:
        with file.open("rb") as stream:
            start = stream.read(_PROBE_BYTES)
            if not is_wanted(start):
                return b""
            return start + stream.read(max(0, size_bytes - len(start)))
    except OSError as error:
        raise NotTextError(
            f"the file cannot be read: {error.strerror}", fix="correct its permissions"
        ) from error


def _with_plain_line_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_text(start: bytes) -> bool:
    return b"\0" not in start
