"""Lays members out as a zip, and reads, hashes or writes it in one pass."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from model_servers.adapters import disk, marked_file
from model_servers.adapters.copying import copy_range
from model_servers.adapters.file_digests import digest_bytes
from model_servers.adapters.hashing import CHUNK_BYTES, Followers, followers
from model_servers.adapters.known_archives import KnownArchives
from model_servers.adapters.marked_file import Marks, changed, opened, unreadable
from model_servers.adapters.segment_digests import SegmentDigests, new_blake3
from model_servers.adapters.write_back import WriteBack, write_back
from model_servers.adapters.zip_format import Entry, directory_entry, end, local_header
from model_servers.core.contribution import Digests
from model_servers.core.release import Archive, ReleasedMember


@dataclass(frozen=True)
class Input:
    """A member to be packed; its digests are known beforehand."""

    path: str
    digests: Digests
    source: Path | bytes

    @classmethod
    def of_bytes(cls, path: str, data: bytes) -> Input:
        """Give a member that is in memory."""
        return cls(path, digest_bytes(data), data)

    @property
    def entry(self) -> Entry:
        """What the zip says of it."""
        return Entry(self.path, self.digests.size_bytes, self.digests.crc32)

    def read(self) -> bytes:
        """Give all its bytes; it is small."""
        if isinstance(self.source, bytes):
            return self.source
        try:
            data = self.source.read_bytes()
        except OSError as error:
            raise unreadable(self.source, error) from error
        if hashlib.sha256(data).hexdigest() != self.digests.sha256:
            raise changed(self.source)
        return data


class Piece(NamedTuple):
    """Some bytes of the zip: a member's, or those around members."""

    offset: int
    length: int
    source: Input | bytes

    @property
    def sha256(self) -> str:
        """Give the digest of its bytes."""
        if isinstance(self.source, Input):
            return self.source.digests.sha256
        return hashlib.sha256(self.source).hexdigest()


@dataclass(frozen=True)
class Layout:
    """All pieces of a zip, in order."""

    pieces: tuple[Piece, ...]

    @classmethod
    def of(cls, inputs: Sequence[Input]) -> Layout:
        """Lay out members in their order; the first one's data is aligned."""
        pieces: list[Piece] = []
        directory: list[bytes] = []
        at = 0
        for number, member in enumerate(inputs):
            header = local_header(member.entry, at, align=number == 0)
            directory.append(directory_entry(member.entry, at))
            start, size = at + len(header), member.digests.size_bytes
            pieces += [Piece(at, len(header), header), Piece(start, size, member)]
            at = start + size
        entries = b"".join(directory)
        records = entries + end(len(directory), at, len(entries))
        return cls((*pieces, Piece(at, len(records), records)))

    def written(self, file: int, known: KnownArchives | None = None) -> Archive:
        """Write the zip; it is on the disk then.

        Args:
            file: open to be read and written.
            known: where the digest of the whole may be known already.

        Raises:
            OutsideError: an input changed meanwhile.
        """
        with write_back(lambda: os.fdatasync(file)) as behind:
            archive = self._passed(_File(file, behind), known)
        os.fsync(file)
        return archive

    def read(self) -> tuple[Archive, ZipContent]:
        """Hash the zip without writing it, always: it is going to be released.

        Raises:
            OutsideError: an input changed meanwhile.
        """
        nowhere = _Nowhere()
        archive = self._passed(nowhere)
        return archive, ZipContent(self.pieces, nowhere.marks)

    def _passed(self, sink: _Sink, known: KnownArchives | None = None) -> Archive:
        key = self._key()
        sha256 = known.sha256(key) if known else ""
        with followers() as fed:
            digests = _Pass(sink, fed, None if sha256 else hashlib.sha256())
            members = [
                member
                for piece in self.pieces
                if (member := digests.take(piece)) is not None
            ]
        if digests.whole:
            sha256 = digests.whole.hexdigest()
            if known:
                known.keep(key, sha256)
        last = self.pieces[-1]
        return Archive(
            size_bytes=last.offset + last.length,
            sha256=sha256,
            members=tuple(members),
            framing_blake3=digests.framing.hexdigest(),
        )

    def _key(self) -> str:
        """Digest what decides about the bytes of the whole."""
        key = hashlib.sha256()
        for piece in self.pieces:
            key.update(f"{piece.offset} {piece.length} {piece.sha256}\n".encode())
        return key.hexdigest()


class ZipContent:
    """The bytes of a zip that is nowhere but in its inputs."""

    def __init__(self, pieces: Sequence[Piece], marks: dict[str, Marks]) -> None:
        self._pieces = pieces
        self._starts = [piece.offset for piece in pieces]
        self._marks = marks
        self.size_bytes = pieces[-1].offset + pieces[-1].length

    def read(self, offset: int, length: int) -> bytes:
        """Give exactly these bytes; fewer if the zip ends before.

        Raises:
            OutsideError: an input has changed since it was hashed.
        """
        found = []
        number = bisect_right(self._starts, offset) - 1
        while length and number < len(self._pieces):
            piece = self._pieces[number]
            count = min(length, piece.offset + piece.length - offset)
            if count:
                found.append(self._part(piece, offset - piece.offset, count))
            offset, length, number = offset + count, length - count, number + 1
        return b"".join(found)

    def _part(self, piece: Piece, start: int, count: int) -> bytes:
        source = piece.source
        if isinstance(source, Input):
            if isinstance(source.source, Path):
                marks = self._marks[source.path]
                return marked_file.read(source.source, marks, start, count)
            source = source.source
        return source[start : start + count]


class _Check(Protocol):
    """Is fed a file that was hashed before."""

    def update(self, data: bytes) -> None:
        """Take the next bytes."""

    def confirms(self, digests: Digests) -> bool:
        """Say whether these were the bytes."""


class _Sink(Protocol):
    """Where the bytes go beside the hashes."""

    def check(self, member: Input) -> _Check:
        """Give what looks whether a file is still what was hashed."""

    def put(self, data: bytes, offset: int) -> None:
        """Take bytes."""

    def copied(self, path: Path, source: int, start: int, offset: int) -> bytes:
        """Take the next bytes of an open file, and give them; empty at its end."""


@dataclass(frozen=True)
class _Nowhere:
    marks: dict[str, Marks] = field(default_factory=dict)

    def check(self, member: Input) -> Marks:
        return self.marks.setdefault(member.path, Marks())

    def put(self, data: bytes, offset: int) -> None:
        pass

    def copied(self, path: Path, source: int, start: int, offset: int) -> bytes:  # noqa: ARG002
        try:
            return os.pread(source, CHUNK_BYTES, start)
        except OSError as error:
            raise unreadable(path, error) from error


@dataclass(frozen=True)
class _File:
    file: int
    behind: WriteBack

    def check(self, member: Input) -> SegmentDigests:
        return SegmentDigests([part.runs for part in member.digests.segments])

    def put(self, data: bytes, offset: int) -> None:
        disk.write(self.file, data, offset)

    def copied(self, path: Path, source: int, start: int, offset: int) -> bytes:  # noqa: ARG002
        count = copy_range(source, start, self.file, offset, CHUNK_BYTES)
        self.behind.wrote(count)
        return os.pread(self.file, count, offset)


@dataclass
class _Pass:
    """Everything that one pass over a zip finds out."""

    sink: _Sink
    followers: Followers
    whole: Any | None
    framing: Any = field(default_factory=new_blake3)

    def take(self, piece: Piece) -> ReleasedMember | None:
        """Pass over a piece; give the member that it is.

        Raises:
            OutsideError: a member is not what was hashed before.
        """
        if isinstance(piece.source, bytes):
            self.sink.put(piece.source, piece.offset)
            self._hash(piece.source, self.framing)
            return None
        member = piece.source
        if isinstance(member.source, bytes):
            self.sink.put(member.source, piece.offset)
            self._hash(member.source)
        else:
            self._file(member, member.source, piece.offset)
        return ReleasedMember(
            path=member.path,
            offset=piece.offset,
            length=piece.length,
            sha256=member.digests.sha256,
            segments=tuple(
                part.moved(piece.offset) for part in member.digests.segments
            ),
        )

    def _file(self, member: Input, path: Path, offset: int) -> None:
        """Pass over a file; one byte more than expected tells that it grew."""
        expected, check, done = member.digests, self.sink.check(member), 0
        with opened(path) as source:
            while done <= expected.size_bytes:
                data = self.sink.copied(path, source, done, offset + done)
                if not data:
                    break
                self._hash(data, check)
                done += len(data)
        self.followers.wait()
        if done != expected.size_bytes or not check.confirms(expected):
            raise changed(path)

    def _hash(self, data: bytes, *others: Any) -> None:
        hashes = others if self.whole is None else (self.whole, *others)
        self.followers.feed(data, *(one.update for one in hashes))
