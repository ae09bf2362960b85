"""Writes archives: real zip files whose bytes depend on their inputs alone.

The first member's data starts at offset 4096, so that file systems can share it and
stores can copy it by range between releases of one checkpoint. ``zip_format.py`` has
the records of a zip.

A member's CRC-32 stands before its data, and the digest of the whole covers both. So
every input is read twice: for its digests, unless they are known, and to be packed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import posixpath
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from model_servers import __version__
from model_servers.adapters import bundled
from model_servers.adapters.copying import copy_range
from model_servers.adapters.file_digests import digest_bytes
from model_servers.adapters.hashing import CHUNK_BYTES, Crc32, Followers, followers
from model_servers.adapters.replacing import replacing
from model_servers.adapters.zip_format import Entry, directory_entry, end, local_header
from model_servers.core.contribution import Digests
from model_servers.core.layout import (
    HANDLER_FILES,
    HandlerFile,
    ManifestFile,
    Member,
    ModelFile,
    SourceArchive,
    handler_digest,
)
from model_servers.core.release import Archive, ReleasedMember
from model_servers.errors import OutsideError

_FLUSH_BYTES = 256 * 2**20
"""After so many bytes the disk is set to work, so that the end need not wait for it."""


class MarWriter:
    """Writes archives with the shared handler that came with this version."""

    def __init__(self) -> None:
        folder = bundled.handler()
        self._handler = {path: (folder / path).read_bytes() for path in HANDLER_FILES}

    def toolchain(self) -> Mapping[str, str]:
        """Name what decides about the bytes beside the inputs."""
        return {
            "handler_sha256": self._handler_digest(),
            "model_servers": __version__,
        }

    def write(
        self,
        target: Path,
        members: Sequence[Member],
        *,
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
        manifest: Callable[[str], Mapping[str, Any]],
    ) -> Archive:
        """Write an archive; *target* is complete or as it was before.

        Raises:
            OutsideError: the disk is full, or an input changed while it was read.
        """
        facts = manifest(self._handler_digest())
        text = f"{json.dumps(facts, indent=2, sort_keys=True)}\n".encode()
        given = partial(self._input, locate=locate, digests=digests, manifest=text)
        _check_names(members)
        with replacing(target) as stream:
            return _write_zip(stream, [given(member) for member in members])

    def member_digests(
        self,
        members: Sequence[Member],
        *,
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
    ) -> Mapping[str, Digests]:
        """Digest each member but the manifest as it would be written, by its path."""
        given = partial(self._input, locate=locate, digests=digests, manifest=b"")
        return {
            member.path: given(member).digests
            for member in members
            if not isinstance(member.source, ManifestFile)
        }

    def _input(
        self,
        member: Member,
        *,
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
        manifest: bytes,
    ) -> _Input:
        match member.source:
            case ModelFile(path):
                return _Input(member.path, digests(path), locate(path))
            case SourceArchive(paths):
                inputs = (_Input(path, digests(path), locate(path)) for path in paths)
                files = {one.path: one.read() for one in inputs}
                data = source_archive(member.path, files)
                return _Input.of_bytes(member.path, data)
            case HandlerFile(path):
                return _Input.of_bytes(member.path, self._handler[path])
            case ManifestFile():
                return _Input.of_bytes(member.path, manifest)

    def _handler_digest(self) -> str:
        return handler_digest(
            {
                path: hashlib.sha256(data).hexdigest()
                for path, data in self._handler.items()
            }
        )


def source_archive(name: str, files: Mapping[str, bytes]) -> bytes:
    """Make the tar that ``system.extraFiles`` names; the same files, the same bytes.

    A ``.tar.gz`` is gzip with stored blocks: source code is small, and what zlib
    would make of it differs between its versions.
    """
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(files):
            entry = tarfile.TarInfo(path)
            entry.size = len(files[path])
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(files[path]))
    data = tar.getvalue()
    return data if name.endswith(".tar") else _stored_gzip(data)


def _stored_gzip(data: bytes) -> bytes:
    """Wrap *data* as gzip without compressing it (RFC 1951, 3.2.4; RFC 1952)."""
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    blocks = [data[i : i + 0xFFFF] for i in range(0, len(data), 0xFFFF)]
    body = b"".join(
        struct.pack("<BHH", i == len(blocks) - 1, len(block), len(block) ^ 0xFFFF)
        + block
        for i, block in enumerate(blocks)
    )
    return header + body + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _check_names(members: Sequence[Member]) -> None:
    """Refuse what would unpack over another member, or outside its directory.

    Raises:
        ValueError: the layout is one that validation refuses.
    """
    seen: set[str] = set()
    for path in (member.path for member in members):
        normal = posixpath.normpath(path)
        if normal != path or path.startswith(("/", "..")) or path.lower() in seen:
            raise ValueError(f"{path!r} cannot stand in an archive, or not twice")
        seen.add(path.lower())


@dataclass(frozen=True)
class _Input:
    """A member about to be written; its digests are known beforehand."""

    path: str
    digests: Digests
    source: Path | bytes

    @classmethod
    def of_bytes(cls, path: str, data: bytes) -> _Input:
        return cls(path, digest_bytes(data), data)

    @property
    def entry(self) -> Entry:
        return Entry(self.path, self.digests.size_bytes, self.digests.crc32)

    def read(self) -> bytes:
        if isinstance(self.source, bytes):
            return self.source
        try:
            data = self.source.read_bytes()
        except OSError as error:
            raise self.unreadable(error) from error
        if hashlib.sha256(data).hexdigest() != self.digests.sha256:
            raise self.changed()
        return data

    def open(self) -> int:
        try:
            return os.open(self.source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self.unreadable(error) from error

    def unreadable(self, error: OSError) -> OutsideError:
        return OutsideError(f"{self.source!s} cannot be read: {error.strerror}")

    def changed(self) -> OutsideError:
        return OutsideError(
            f"{self.source!s} changed while it was packed",
            hint="run the command again when nothing writes to the file",
        )


@dataclass
class _Out:
    """The archive on its way to the disk, hashed behind the writer."""

    file: int
    followers: Followers
    offset: int = 0
    whole: Any = field(default_factory=hashlib.sha256)
    framing: Any = field(default_factory=hashlib.sha256)
    flushed: int = 0
    flushes: list[Future[None]] = field(default_factory=list)

    def frame(self, data: bytes) -> None:
        """Write bytes that are no member's."""
        self._write(data)
        self.followers.feed(data, self.whole.update, self.framing.update)

    def member(self, member: _Input) -> ReleasedMember:
        """Write a member's bytes.

        Raises:
            OutsideError: they are not the bytes that were hashed before.
        """
        start, crc32 = self.offset, Crc32()
        if isinstance(member.source, bytes):
            self._write(member.source)
            self.followers.feed(member.source, self.whole.update, crc32.update)
        else:
            self._copy(member, crc32)
        self.followers.wait()
        found = (self.offset - start, crc32.value)
        if found != (member.digests.size_bytes, member.digests.crc32):
            raise member.changed()
        return ReleasedMember(
            path=member.path,
            offset=start,
            length=member.digests.size_bytes,
            sha256=member.digests.sha256,
            segments=tuple(part.moved(start) for part in member.digests.segments),
        )

    def finish(self) -> None:
        """Return when all is hashed and on the disk."""
        self.followers.wait()
        for flush in self.flushes:
            flush.result()
        os.fsync(self.file)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = os.pwrite(self.file, view, self.offset)
            self.offset += count
            view = view[count:]

    def _copy(self, member: _Input, crc32: Crc32) -> None:
        """Copy a file, and hash what has arrived; one byte more tells that it grew."""
        source, position = member.open(), 0
        try:
            before = os.fstat(source)
            while position <= member.digests.size_bytes:
                count = copy_range(
                    source, position, self.file, self.offset, CHUNK_BYTES
                )
                if count == 0:
                    break
                copied = os.pread(self.file, count, self.offset)
                self.followers.feed(copied, self.whole.update, crc32.update)
                position += count
                self.offset += count
                self._flush()
            after = os.fstat(source)
        finally:
            os.close(source)
        if (before.st_mtime_ns, before.st_ctime_ns) != (
            after.st_mtime_ns,
            after.st_ctime_ns,
        ):
            raise member.changed()

    def _flush(self) -> None:
        if self.offset - self.flushed >= _FLUSH_BYTES:
            self.flushed = self.offset
            work = self.followers.beside(lambda: os.fdatasync(self.file))
            self.flushes.append(work)


def _write_zip(file: int, inputs: Sequence[_Input]) -> Archive:
    directory: list[bytes] = []
    members: list[ReleasedMember] = []
    with followers() as fed:
        out = _Out(file, fed)
        for number, member in enumerate(inputs):
            start = out.offset
            out.frame(local_header(member.entry, start, align=number == 0))
            members.append(out.member(member))
            directory.append(directory_entry(member.entry, start))
        start, entries = out.offset, b"".join(directory)
        out.frame(entries)
        out.frame(end(len(directory), start, len(entries)))
        out.finish()
    return Archive(
        size_bytes=out.offset,
        sha256=out.whole.hexdigest(),
        members=tuple(members),
        framing_sha256=out.framing.hexdigest(),
    )
