"""A store in a local folder, with the guarantees of the one in S3."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from model_servers.adapters import disk
from model_servers.adapters.copying import copy_range
from model_servers.adapters.read_back import differs
from model_servers.core.objects import (
    Copied,
    Leftover,
    Movable,
    Moved,
    Part,
    Sent,
    Stored,
)
from model_servers.core.reuse import whole_file
from model_servers.errors import OutsideError
from model_servers.ports import Content, OnBytes

_CHUNK_BYTES = 2**20
_NEW_S = 60
_PARTIAL = ".partial-"
"""Names of files that are being written; their writers hold a lock on them."""

_LOCK = ".lock"
"""Who moves an object of the store holds the lock on this file in its root."""

_TRIES = 64


class LocalStore:
    """Keys are paths below a folder; a file appears complete or not at all."""

    def __init__(self, root: Path, *, is_new: bool = True) -> None:
        """Name the folder.

        Args:
            root: the folder.
            is_new: whether it may be missing, as before the first release. For
                those who only read, a missing folder is one that is not mounted.
        """
        self._root = root
        self._is_new = is_new
        self.address = f"file://{root}"

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with *prefix*, sorted."""
        self._check_there()
        with _outside(self.address):
            keys = [
                key
                for key in self._files(prefix)
                if not key.rpartition("/")[2].startswith((_PARTIAL, _LOCK))
            ]
        yield from sorted(key for key in keys if key.startswith(prefix))

    def stat(self, key: str) -> Stored | None:
        """Say how large an object is; None if there is none."""
        self._check_there()
        with _outside(self.address):
            try:
                found = (self._root / key).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return Stored(found.st_size, _token(found))

    def read(self, key: str) -> bytes | None:
        """Give a small object; None if there is none."""
        self._check_there()
        with _outside(self.address):
            try:
                return (self._root / key).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def read_movable(self, key: str) -> Movable | None:
        """Give a small object with the token that a swap wants."""
        body = self.read(key)
        return None if body is None else Movable(body, _sha256(body))

    def read_range(
        self, key: str, offset: int, length: int, *, token: str | None = None
    ) -> bytes:
        """Give exactly *length* bytes of an object, like ``chunks``."""
        return b"".join(self.chunks(key, offset, length, token=token))

    def chunks(
        self, key: str, offset: int, length: int, *, token: str | None = None
    ) -> Iterator[bytes]:
        """Yield exactly *length* bytes of an object."""
        done = 0
        with (
            _outside(f"{self.address}/{key}"),
            (self._root / key).open("rb") as stream,
        ):
            if token is not None and _token(os.fstat(stream.fileno())) != token:
                raise OutsideError(
                    f"{self.address}/{key} changed while it was read",
                    hint="repeat the command; it goes on where it stopped",
                )
            stream.seek(offset)
            while chunk := stream.read(min(_CHUNK_BYTES, length - done)):
                done += len(chunk)
                yield chunk
        if done != length:
            raise OutsideError(
                f"{self.address}/{key} ends at byte {offset + done}, expected at "
                f"least {offset + length}",
                hint="the file is damaged; restore it from a copy of the store",
            )

    def create(self, key: str, body: bytes) -> bool:
        """Write a small object if there is none, and say whether it did.

        A hard link cannot replace a file, so of several writers one wins.
        """
        target = self._root / key
        with _outside(self.address), self._partial(target) as (stream, partial):
            _write(stream, [body])
            try:
                os.link(partial, target)
            except FileExistsError:
                return False
            disk.sync(target.parent)
            return True

    def swap(self, key: str, body: bytes, expected: str | None) -> bool:
        """Replace a small object that is still the expected one."""
        if expected is None:
            return self.create(key, body)
        target = self._root / key
        with _outside(self.address), self._locked():
            found = self.read_movable(key)
            if found is None or found.token != expected:
                return False
            with self._partial(target) as (stream, partial):
                _write(stream, [body])
                partial.replace(target)
            disk.sync(target.parent)
            return True

    def upload(self, key: str, content: Content, *, on_bytes: OnBytes) -> None:
        """Write an object, unless an object like it is there already."""
        parts = whole_file(content.size_bytes)
        self.compose(key, content, parts, on_bytes=on_bytes)

    def compose(
        self, key: str, content: Content, parts: Sequence[Part], *, on_bytes: OnBytes
    ) -> Moved:
        """Make an object of parts, unless one like *content* is there already.

        Parts of other objects are copied by the kernel, which shares their blocks
        where the file system can.
        """
        with _outside(self.address):
            if self._is(key, content, parts):
                return Moved()
            copied = sum(part.length for part in parts if isinstance(part, Copied))
            sent = sum(part.length for part in parts if isinstance(part, Sent))
            try:
                why = self._place(key, content, parts, on_bytes)
            except FileNotFoundError as error:
                why = f"{error.filename} is not there"
            if why and copied:
                parts, sent, copied = whole_file(sent + copied), sent + copied, 0
                if not self._place(key, content, parts, on_bytes):
                    return Moved(sent_bytes=sent, why_not_copied=why)
        if why:
            raise OutsideError(
                f"{self.address}/{key} is not what was written",
                hint="check the disk, then repeat the command",
            )
        return Moved(sent_bytes=sent, copied_bytes=copied)

    @property
    def comparison(self) -> str:
        """Say how a swap compares."""
        return "the bytes are compared under a lock"

    def takes_damaged(self, key: str, body: bytes) -> bool:
        """Say whether other bytes arrive; no wire is in between that could do it."""
        self.create(key, body)
        return self.read(key) != body

    def delete(self, key: str) -> None:
        """Remove an object, and the folders that are empty then."""
        target = self._root / key
        with _outside(self.address):
            target.unlink(missing_ok=True)
            for folder in target.relative_to(self._root).parents[:-1]:
                if not _is_removed(self._root / folder):
                    return

    def leftovers(self) -> list[Leftover]:
        """List the files that are being written, or were when their writer died."""
        with _outside(self.address):
            return [
                Leftover(
                    key=key, handle=key, is_abandoned=_is_abandoned(self._root / key)
                )
                for key in self._files("")
                if key.rpartition("/")[2].startswith(_PARTIAL)
            ]

    def abort(self, leftover: Leftover) -> None:
        """Remove what a writer has left; done if it is gone."""
        self.delete(leftover.handle)

    def _check_there(self) -> None:
        if self._is_new:
            return
        with _outside(self.address):
            is_folder, is_there = self._root.is_dir(), self._root.exists()
        if is_folder:
            return
        if is_there:
            raise OutsideError(
                f"{self._root} is no folder",
                hint="correct --store, or the profile's store:",
            )
        raise OutsideError(
            f"there is no store in {self._root}",
            hint="mount the folder, or correct --store, or the profile's store:; "
            f"if it is to be a new one, mkdir -p {shlex.quote(str(self._root))}",
        )

    def _files(self, prefix: str) -> Iterator[str]:
        start = self._root / prefix.rpartition("/")[0]
        for folder, _, names in os.walk(start, onerror=_unless_absent):
            for name in names:
                yield (Path(folder) / name).relative_to(self._root).as_posix()

    def _add(self, target: BinaryIO, content: Content, part: Part) -> None:
        match part:
            case Sent(offset, length):
                for start in range(offset, offset + length, _CHUNK_BYTES):
                    count = min(_CHUNK_BYTES, offset + length - start)
                    target.write(content.read(start, count))
                target.flush()
            case Copied(key, offset, length):
                with (self._root / key).open("rb") as other:
                    copied = copy_range(
                        other.fileno(), offset, target.fileno(), target.tell(), length
                    )
                # Fewer if the source is too short: it shows when the copy is compared.
                target.seek(copied, os.SEEK_CUR)

    def _place(
        self, key: str, content: Content, parts: Sequence[Part], on_bytes: OnBytes
    ) -> str:
        """Put an object together, and in its place if it is like *content*.

        Returns:
            Why it is not in its place; empty if it is.
        """
        target = self._root / key
        with self._partial(target) as (stream, partial):
            for part in parts:
                self._add(stream, content, part)
                on_bytes(part.length)
            _write(stream, [])
            if not _is_like(partial, content, parts):
                return "the copy is not what it should be"
            partial.replace(target)
        disk.sync(target.parent)
        return ""

    def _is(self, key: str, content: Content, parts: Sequence[Part]) -> bool:
        target = self._root / key
        return target.is_file() and _is_like(target, content, parts)

    @contextmanager
    def _partial(self, target: Path) -> Iterator[tuple[BinaryIO, Path]]:
        """Give a locked file beside *target* that is gone in the end."""
        partial = target.with_name(f"{_PARTIAL}{secrets.token_hex(8)}")
        try:
            with _opened(partial) as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                yield stream, partial
        finally:
            partial.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one who moves objects; the lock ends with its holder."""
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _opened(file: Path) -> BinaryIO:
    """Make a file and its folders, which others remove while they are empty."""
    for attempt in range(_TRIES):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            return file.open("xb")
        except (FileNotFoundError, FileExistsError):
            # `mkdir` finds a folder that is gone when it looks what it is.
            if attempt == _TRIES - 1:
                raise
    raise AssertionError  # the last try returns or raises


def _is_removed(folder: Path) -> bool:
    """Remove a folder unless something is in it."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        if error.errno != errno.ENOENT:
            raise
    return True


def _unless_absent(error: OSError) -> None:
    """Tell a folder that cannot be listed from one that is not there."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _is_like(target: Path, content: Content, parts: Sequence[Part]) -> bool:
    """Compare a file with a content by size and by the ends of the parts."""
    if target.stat().st_size != content.size_bytes:
        return False
    with target.open("rb") as stream:
        return not differs(
            lambda offset, length: os.pread(stream.fileno(), length, offset),
            content,
            parts,
        )


def _write(stream: BinaryIO, chunks: Sequence[bytes]) -> None:
    for chunk in chunks:
        stream.write(chunk)
    stream.flush()
    os.fsync(stream.fileno())


def _is_abandoned(partial: Path) -> bool:
    """Say whether nobody holds the lock of a file that was being written.

    A new one may not be locked yet.
    """
    try:
        with partial.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return time.time() - os.fstat(stream.fileno()).st_mtime > _NEW_S
    except (BlockingIOError, FileNotFoundError):
        return False


def _token(found: os.stat_result) -> str:
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@contextmanager
def _outside(thing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutsideError(
            f"the store {thing} failed: {error.strerror or error}",
            hint="check that the folder exists, can be written, and has space left",
        ) from error
