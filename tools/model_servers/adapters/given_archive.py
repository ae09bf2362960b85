"""Reads archives that other tools have written, and lists what is in them.

Source: the zip format is PKWARE's APPNOTE 6.3.10.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from model_servers.adapters import documents
from model_servers.adapters.file_digests import digest_file
from model_servers.adapters.segment_digests import blake3_of
from model_servers.core.given import GivenArchive
from model_servers.core.layout import MANIFEST
from model_servers.core.release import Archive, ReleasedMember
from model_servers.core.segments import Run, gaps
from model_servers.errors import OutsideError, RequestError

_CHUNK_BYTES = 2**20
_LOCAL_HEADER_BYTES = 30
_SMALL_BYTES = 2**20
"""Manifests and model configs are far smaller."""

_PATH = re.compile(r"(?!/)(?!.*(^|/)\.\.?(/|$))[^\x00-\x1f\\]+")
"""As ``release.schema.json`` has it: a path that stays where it is unpacked."""

_HINT = "make it with torch-model-archiver --archive-format zip-store"


def read(path: Path) -> GivenArchive:
    """Read a ``.mar`` and hash all of it.

    Raises:
        RequestError: it is no archive that can be released as it is.
        OutsideError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as mar, path.open("rb") as stream:
            infos = [info for info in mar.infolist() if not info.is_dir()]
            _check(infos, path)
            members = tuple(_member(mar, stream, info) for info in infos)
            manifest = _manifest(mar, path)
            return GivenArchive(
                archive=_archive(stream, path, members),
                manifest=manifest,
                config=_config(mar, manifest, path),
            )
    except (zipfile.BadZipFile, EOFError, struct.error, NotImplementedError) as error:
        raise RequestError(f"{path} is no sound zip: {error}", hint=_HINT) from error
    except FileNotFoundError as error:
        raise RequestError(f"there is no {path}", hint="correct --mar") from error
    except OSError as error:
        raise OutsideError(
            f"{path} cannot be read: {error.strerror}",
            hint="correct its permissions, or --mar",
        ) from error


def _check(infos: list[zipfile.ZipInfo], path: Path) -> None:
    names = [info.filename for info in infos]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RequestError(f"{path} has {twice[0]!r} twice", hint=_HINT)
    for info in infos:
        if _PATH.fullmatch(info.filename) is None:
            raise RequestError(
                f"{path} has a member {info.filename!r}, which leaves the archive",
                hint="do not trust whoever made it",
            )
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise RequestError(
                f"{path}: {info.filename!r} is compressed or encrypted, so hosts could "
                "not fetch parts of it",
                hint=_HINT,
            )


def _member(
    mar: zipfile.ZipFile, stream: BinaryIO, info: zipfile.ZipInfo
) -> ReleasedMember:
    """Hash a member, cut at its tensors if it is a checkpoint."""
    stream.seek(info.header_offset)
    header = stream.read(_LOCAL_HEADER_BYTES)
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    offset = info.header_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes
    suffix = Path(info.filename).suffix
    with tempfile.NamedTemporaryFile(prefix="ms-member-", suffix=suffix) as copy:
        with mar.open(info) as content:
            shutil.copyfileobj(content, copy, _CHUNK_BYTES)
        copy.flush()
        digests = digest_file(Path(copy.name))
    return ReleasedMember(
        path=info.filename,
        offset=offset,
        length=info.file_size,
        sha256=digests.sha256,
        segments=tuple(part.moved(offset) for part in digests.segments),
    )


def _archive(
    stream: BinaryIO, path: Path, members: tuple[ReleasedMember, ...]
) -> Archive:
    size_bytes = path.stat().st_size
    runs = sorted(member.run for member in members if member.length)
    ends = [run.end for run in runs]
    if any(end > run.offset for end, run in zip(ends, runs[1:], strict=False)):
        raise RequestError(f"members of {path} overlap", hint=_HINT)
    whole = hashlib.sha256()
    for chunk in _chunks(stream, Run(0, size_bytes)):
        whole.update(chunk)
    between = gaps(runs, Run(0, size_bytes))
    return Archive(
        size_bytes=size_bytes,
        sha256=whole.hexdigest(),
        members=members,
        framing_blake3=blake3_of(
            chunk for run in between for chunk in _chunks(stream, run)
        ),
    )


def _chunks(stream: BinaryIO, run: Run) -> Iterator[bytes]:
    stream.seek(run.offset)
    left = run.length
    while left and (chunk := stream.read(min(_CHUNK_BYTES, left))):
        left -= len(chunk)
        yield chunk


def _manifest(mar: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(_text(mar, MANIFEST))
    except (KeyError, ValueError) as error:
        raise RequestError(
            f"{path} has no {MANIFEST} that can be read: {error}", hint=_HINT
        ) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("model"), dict):
        raise RequestError(f"{path}: {MANIFEST} describes no model", hint=_HINT)
    return manifest


def _config(mar: zipfile.ZipFile, manifest: dict[str, Any], path: Path) -> Any:
    name = manifest["model"].get("configFile")
    if name is None:
        return {}
    try:
        text = _text(mar, str(name))
    except (KeyError, ValueError) as error:
        raise RequestError(
            f"{path} has no model config {name!r} that can be read", hint=_HINT
        ) from error
    document, findings = documents.load(
        text, schema="model-config", path=str(name), shown_as=f"{path}/{name}"
    )
    if document is None:
        raise RequestError(
            "\n".join(str(finding) for finding in findings), hint=findings[0].fix
        )
    return document.data


def _text(mar: zipfile.ZipFile, name: str) -> str:
    with mar.open(name) as stream:
        return stream.read(_SMALL_BYTES).decode()
