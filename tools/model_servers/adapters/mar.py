"""Writes archives: real zip files whose bytes depend on their inputs alone.

Members are stored, with fixed times and modes and no data descriptors, which
TorchServe's reader needs (0.12, ZipUtils.java). The first member's data starts at
offset 4096, so that file systems can share it and stores can copy it by range
between releases of one checkpoint.

Source: the zip format is PKWARE's APPNOTE 6.3.10; names in brackets are its terms.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from model_servers import __version__
from model_servers.adapters import bundled
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
from model_servers.core.release import Archive, ReleasedMember, Segment, cut
from model_servers.errors import OutsideError

DATA_ALIGNMENT_BYTES = 4096
"""Where the first member's data starts: a block of every file system that shares."""

_CHUNK_BYTES = 2**20
_DOS_DATE_1980 = 0x21
"""1980-01-01, the earliest that a zip can say."""

_ZIP64_LIMIT = 0xFFFFFFFF
_UTF8_NAMES = 0x800
_MADE_BY_UNIX = 3 << 8
_REGULAR_FILE_0644 = 0o100644 << 16
_PADDING_ID = 0xD935
"""The extra field with which Android's zipalign pads."""


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
        with _replacing(target) as stream:
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
    return (
        header + body + struct.pack("<II", zlib.crc32(data), len(data) & _ZIP64_LIMIT)
    )


@dataclass(frozen=True)
class _Input:
    """A member about to be written; its digests are known beforehand."""

    path: str
    digests: Digests
    source: Path | bytes

    @classmethod
    def of_bytes(cls, path: str, data: bytes) -> _Input:
        digests = Digests(
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            crc32=zlib.crc32(data),
        )
        return cls(path, digests, data)

    def chunks(self) -> Iterator[bytes]:
        if isinstance(self.source, bytes):
            for start in range(0, len(self.source), _CHUNK_BYTES):
                yield self.source[start : start + _CHUNK_BYTES]
            return
        try:
            with self.source.open("rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise OutsideError(
                f"{self.source} cannot be read: {error.strerror}"
            ) from error

    def read(self) -> bytes:
        data = b"".join(self.chunks())
        if hashlib.sha256(data).hexdigest() != self.digests.sha256:
            raise self.changed()
        return data

    def changed(self) -> OutsideError:
        return OutsideError(
            f"{self.source!s} changed while it was packed",
            hint="run the command again when nothing writes to the file",
        )


@dataclass
class _HashedStream:
    """Writes to a file and hashes every byte on its way."""

    stream: BinaryIO
    offset: int = 0
    sha256: Any = field(default_factory=hashlib.sha256)

    def write(self, data: bytes) -> None:
        self.stream.write(data)
        self.sha256.update(data)
        self.offset += len(data)


def _write_zip(stream: BinaryIO, inputs: Sequence[_Input]) -> Archive:
    out = _HashedStream(stream)
    directory: list[bytes] = []
    members: list[ReleasedMember] = []
    for number, member in enumerate(inputs):
        start = out.offset
        out.write(_local_header(member, start, align=number == 0))
        members.append(_write_member(out, member))
        directory.append(_directory_entry(member, start))
    directory_start = out.offset
    out.write(b"".join(directory))
    out.write(_end(len(directory), directory_start, out.offset - directory_start))
    return Archive(
        size_bytes=out.offset, sha256=out.sha256.hexdigest(), members=tuple(members)
    )


def _write_member(out: _HashedStream, member: _Input) -> ReleasedMember:
    """Copy a member's bytes and digest its segments.

    Raises:
        OutsideError: they are not the bytes that were hashed before.
    """
    start, whole = out.offset, hashlib.sha256()
    cuts = cut(start, member.digests.size_bytes)
    ends = {offset + length for offset, length in cuts}
    segments: list[Segment] = []
    part, part_start = hashlib.sha256(), start
    for chunk in member.chunks():
        out.write(chunk)
        whole.update(chunk)
        # Segments are whole chunks, so a segment never ends inside one.
        part.update(chunk)
        if out.offset in ends:
            length = out.offset - part_start
            segments.append(Segment(part_start, length, part.hexdigest()))
            part, part_start = hashlib.sha256(), out.offset
    if whole.hexdigest() != member.digests.sha256:
        raise member.changed()
    return ReleasedMember(
        path=member.path,
        offset=start,
        length=member.digests.size_bytes,
        sha256=member.digests.sha256,
        segments=tuple(segments) if len(segments) > 1 else (),
    )


def _local_header(member: _Input, start: int, *, align: bool) -> bytes:
    """Give the [local file header]; sizes are known, so nothing follows the data."""
    name, size = member.path.encode(), member.digests.size_bytes
    extra = struct.pack("<HHQQ", 1, 16, size, size) if size >= _ZIP64_LIMIT else b""
    if align:
        extra += _padding(start + 30 + len(name) + len(extra))
    short = min(size, _ZIP64_LIMIT)
    return (
        struct.pack(
            "<IHHHHHIIIHH",
            0x04034B50,
            45 if size >= _ZIP64_LIMIT else 20,
            _UTF8_NAMES,
            0,  # stored
            0,
            _DOS_DATE_1980,
            member.digests.crc32,
            short,
            short,
            len(name),
            len(extra),
        )
        + name
        + extra
    )


def _padding(position: int) -> bytes:
    """Give the extra field that moves *position* to the next alignment."""
    length = -(position + 4) % DATA_ALIGNMENT_BYTES
    return struct.pack("<HH", _PADDING_ID, length) + bytes(length)


def _directory_entry(member: _Input, start: int) -> bytes:
    """Give the [central directory header] of a member that starts at *start*."""
    name, size = member.path.encode(), member.digests.size_bytes
    large = [size, size] if size >= _ZIP64_LIMIT else []
    large += [start] if start >= _ZIP64_LIMIT else []
    extra = (
        struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    )
    version = 45 if large else 20
    short = min(size, _ZIP64_LIMIT)
    return (
        struct.pack(
            "<IHHHHHHIIIHHHHHII",
            0x02014B50,
            version | _MADE_BY_UNIX,
            version,
            _UTF8_NAMES,
            0,
            0,
            _DOS_DATE_1980,
            member.digests.crc32,
            short,
            short,
            len(name),
            len(extra),
            0,
            0,
            0,
            _REGULAR_FILE_0644,
            min(start, _ZIP64_LIMIT),
        )
        + name
        + extra
    )


def _end(count: int, start: int, size: int) -> bytes:
    """Give the [end of central directory record], the zip64 one before it if needed."""
    large = b""
    if start >= _ZIP64_LIMIT or count >= 0xFFFF:
        large = struct.pack(
            "<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count, size, start
        ) + struct.pack("<IIQI", 0x07064B50, 0, start + size, 1)
    few = min(count, 0xFFFF)
    return large + struct.pack(
        "<IHHHHIIH", 0x06054B50, 0, 0, few, few, size, min(start, _ZIP64_LIMIT), 0
    )


@contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """Write beside *target* and take its place at the end, or leave nothing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)
    except OSError as error:
        raise OutsideError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
