"""New model directories in a checkout: hidden until they are complete."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_servers.adapters import copying, disk
from model_servers.core.contribution import Digests
from model_servers.errors import OutsideError, RequestError

_CHUNK_BYTES = 2**20


class NewModels:
    """Makes directories below one ``registry/``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def staged(self, name: str) -> Iterator[Stage]:
        """Give a hidden directory, renamed to *name* at the end of the block.

        Names that start with a dot are no models, and git ignores them here.
        """
        target = self._root / name
        self._refuse_existing(target)
        try:
            hidden = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=self._root))
        except OSError as error:
            raise _not_written(target, error) from error
        try:
            hidden.chmod(0o755)  # as mkdir would, not for one user only
            yield Stage(hidden)
            self._refuse_existing(target)
            hidden.rename(target)
        except OSError as error:
            raise _not_written(target, error) from error
        finally:
            shutil.rmtree(hidden, ignore_errors=True)

    def _refuse_existing(self, target: Path) -> None:
        if target.exists() or target.is_symlink():
            raise RequestError(
                f"{target} exists; nothing is overwritten",
                hint="choose another name, or remove it",
            )


class Stage:
    """One directory that is being made."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, path: str, content: str) -> None:
        """Write a text."""
        self._place(path).write_text(content, "utf-8")

    def copy(self, path: str, source: Path) -> Digests:
        """Copy a file, sharing its blocks where the file system can.

        Never a hard link: saving the next checkpoint over *source* would change
        the model's too.
        """
        target = self._place(path)
        try:
            read = source.open("rb")
        except OSError as error:
            raise RequestError(
                f"{source} cannot be read: {error.strerror}", hint="correct the path"
            ) from error
        with read, target.open("xb") as written:
            shares = copying.clones(read.fileno(), written.fileno())
            sha256, crc32, size_bytes = hashlib.sha256(), 0, 0
            while chunk := read.read(_CHUNK_BYTES):
                sha256.update(chunk)
                crc32 = zlib.crc32(chunk, crc32)
                size_bytes += len(chunk)
                if not shares:
                    written.write(chunk)
        return Digests(size_bytes=size_bytes, sha256=sha256.hexdigest(), crc32=crc32)

    def _place(self, path: str) -> Path:
        place = self._directory / path
        place.parent.mkdir(parents=True, exist_ok=True)
        return place


def _not_written(target: Path, error: OSError) -> OutsideError:
    return OutsideError(
        f"{target} cannot be written: {error.strerror or error}",
        hint=disk.WRITE_AGAIN,
    )
