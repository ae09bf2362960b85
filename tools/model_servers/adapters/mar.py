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
import posixpath
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from model_servers import __version__
from model_servers.adapters import bundled
from model_servers.adapters.known_archives import KnownArchives
from model_servers.adapters.mar_layout import Input, Layout
from model_servers.adapters.replacing import replacing
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
from model_servers.core.release import Archive
from model_servers.ports import Content


class MarWriter:
    """Writes archives with the shared handler that came with this version."""

    def __init__(self, known: KnownArchives | None = None) -> None:
        self._known = known
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
        layout = self._layout(members, locate, digests, manifest)
        with replacing(target) as file:
            return layout.written(file, self._known)

    def content(
        self,
        members: Sequence[Member],
        *,
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
        manifest: Callable[[str], Mapping[str, Any]],
    ) -> tuple[Archive, Content]:
        """Describe an archive, and give its bytes out of the inputs.

        Raises:
            OutsideError: an input changed while it was read.
        """
        return self._layout(members, locate, digests, manifest).read()

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

    def _layout(
        self,
        members: Sequence[Member],
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
        manifest: Callable[[str], Mapping[str, Any]],
    ) -> Layout:
        facts = manifest(self._handler_digest())
        text = f"{json.dumps(facts, indent=2, sort_keys=True)}\n".encode()
        given = partial(self._input, locate=locate, digests=digests, manifest=text)
        _check_names(members)
        return Layout.of([given(member) for member in members])

    def _input(
        self,
        member: Member,
        *,
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
        manifest: bytes,
    ) -> Input:
        match member.source:
            case ModelFile(path):
                return Input(member.path, digests(path), locate(path))
            case SourceArchive(paths):
                inputs = (Input(path, digests(path), locate(path)) for path in paths)
                files = {one.path: one.read() for one in inputs}
                data = source_archive(member.path, files)
                return Input.of_bytes(member.path, data)
            case HandlerFile(path):
                return Input.of_bytes(member.path, self._handler[path])
            case ManifestFile():
                return Input.of_bytes(member.path, manifest)

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
