"""The files of golden cases in a checkout: answers written into them, cases added."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_servers.adapters import disk, documents
from model_servers.core.recording import with_answer
from model_servers.errors import OutsideError, RequestError


class GoldenFiles:
    """Cases below one ``registry/``; a file is as it was, or as it should be."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def record(self, name: str, path: str, answer: Any) -> None:
        """Write *answer* into the case at *path* of a model; the rest stays."""
        file = self._root / name / path
        with _outside(file):
            text = file.read_bytes().decode()
            _replace(file, _answered(file, text, answer).encode())

    def add(self, name: str, path: str, text: str, answer: Any) -> None:
        """Make a case whose text lacks the answer; RequestError if one is there."""
        file = self._root / name / path
        with _outside(file):
            _create(file, _answered(file, text, answer).encode())

    def add_body(self, name: str, path: str, body: bytes) -> None:
        """Make the file of a request; done if one of the same bytes is there."""
        file = self._root / name / path
        with _outside(file):
            if file.is_file() and file.read_bytes() == body:
                return
            _create(file, body)


def _answered(file: Path, text: str, answer: Any) -> str:
    """Give the text with the answer in it, sure that it reads as meant."""
    try:
        data, places = documents.parse(text.replace("\r\n", "\n"))
        changed = with_answer(text, answer, places=places)
        found, _ = documents.parse(changed.replace("\r\n", "\n"))
    except (ValueError, documents.UnreadableError) as error:
        raise _unwritable(file, str(error)) from error
    if not _same(found, {**data, "expect": {"json": answer}}):
        raise _unwritable(file, "its text cannot be changed safely")
    return changed


def _same(one: Any, other: Any) -> bool:
    """Compare values as text, since 1 is not 1.0; keys may stand in another order."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _same(value, other[key]) for key, value in one.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return repr(one) == repr(other)


def _unwritable(file: Path, reason: str) -> OutsideError:
    return OutsideError(
        f"the answer cannot be written into {file}: {reason}",
        hint="write expect: by hand, or let the model answer what YAML can hold",
    )


def _replace(file: Path, content: bytes) -> None:
    with _partial(file, content) as partial:
        partial.chmod(file.stat().st_mode)
        partial.replace(file)


def _create(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with _partial(file, content) as partial:
        try:
            os.link(partial, file)
        except FileExistsError:
            raise RequestError(
                f"{file} exists; nothing is overwritten", hint="choose another name"
            ) from None


@contextmanager
def _partial(file: Path, content: bytes) -> Iterator[Path]:
    """Give a hidden file beside *file* that is gone in the end."""
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _outside(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutsideError(
            f"{file} cannot be written: {error.strerror or error}",
            hint=disk.WRITE_AGAIN,
        ) from error
