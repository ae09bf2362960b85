"""A store in a local folder, with the guarantees of the one in S3."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_servers.errors import OutsideError
from model_servers.ports import OnBytes

_CHUNK_BYTES = 2**20
_PARTIAL = ".partial-"
"""Names of files that are being written; they are no keys."""


class LocalStore:
    """Keys are paths below a folder; a file appears complete or not at all."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.address = f"file://{root}"

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with *prefix*, sorted."""
        start = self._root / prefix.rpartition("/")[0]
        with _outside(self.address):
            keys = [
                (Path(folder) / name).relative_to(self._root).as_posix()
                for folder, _, names in os.walk(start, onerror=_unless_absent)
                for name in names
                if not name.startswith(_PARTIAL)
            ]
        yield from sorted(key for key in keys if key.startswith(prefix))

    def read(self, key: str) -> bytes | None:
        """Give a small object; None if there is none."""
        with _outside(self.address):
            try:
                return (self._root / key).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """Give exactly *length* bytes of an object."""
        with (
            _outside(f"{self.address}/{key}"),
            (self._root / key).open("rb") as stream,
        ):
            stream.seek(offset)
            data = stream.read(length)
        if len(data) != length:
            raise OutsideError(
                f"{self.address}/{key} ends at byte {offset + len(data)}, expected at "
                f"least {offset + length}",
                hint="restore the store's folder from a copy",
            )
        return data

    def create(self, key: str, body: bytes) -> bool:
        """Write a small object if there is none, and say whether it did.

        A hard link cannot replace a file, so of several writers one wins.
        """
        target = self._root / key
        with _outside(self.address), self._partial(target) as partial:
            _write(partial, [body])
            try:
                os.link(partial, target)
            except FileExistsError:
                return False
            _sync_folder(target.parent)
            return True

    def upload(self, key: str, source: Path, *, on_bytes: OnBytes) -> None:
        """Copy a file in, unless an object of its size is there already."""
        target = self._root / key
        with _outside(self.address):
            if target.exists() and target.stat().st_size == source.stat().st_size:
                return
            with self._partial(target) as partial:
                _write(partial, _chunks(source, on_bytes))
                partial.replace(target)
                _sync_folder(target.parent)

    @contextmanager
    def _partial(self, target: Path) -> Iterator[Path]:
        """Give a place beside *target* that is gone in the end."""
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
        try:
            yield partial
        finally:
            partial.unlink(missing_ok=True)


def _unless_absent(error: OSError) -> None:
    """Tell a folder that cannot be listed from one that is not there."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _chunks(source: Path, on_bytes: OnBytes) -> Iterator[bytes]:
    with source.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk
            on_bytes(len(chunk))


def _write(target: Path, chunks: Iterator[bytes] | list[bytes]) -> None:
    with target.open("xb") as stream:
        for chunk in chunks:
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the names in *folder* survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _outside(thing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutsideError(
            f"the store {thing} failed: {error.strerror or error}",
            hint="check that the folder exists and can be written",
        ) from error
