"""Reads what a checkpoint holds, without executing anything of it or importing torch.

It is read as the shared handler reads it: what a file is decides its content, not
its name.
"""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from model_servers.adapters import safetensors_file
from model_servers.adapters.weights_pickle import (
    MAX_PICKLE_BYTES,
    BoundedStream,
    Followed,
    follow,
)
from model_servers.adapters.weights_values import (
    BrokenError,
    Map,
    Storage,
    TensorFacts,
    shown,
)
from model_servers.core.checkpoint import (
    LEGACY_TORCH,
    OTHER,
    PICKLE,
    SAFE_GLOBALS,
    SAFETENSORS,
    TORCH,
    TORCHSCRIPT,
    CheckpointFacts,
    Tensor,
)

_MAX_DIRECTORY_BYTES = 8 * 2**20
"""Of a zip file: some 80,000 members."""

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_GIT_LFS = b"version https://git-lfs"


def read(path: Path) -> CheckpointFacts:
    """Read the facts of a checkpoint, in bounded time and memory."""
    if not path.is_file():
        return _refused(OTHER, "it is no file")
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        return _refused(
            OTHER, f"it cannot be read: {error.strerror or 'it is damaged'}"
        )


def _read(file: BinaryIO) -> CheckpointFacts:
    start = file.read(64)
    file.seek(0)
    if not start:
        return _refused(OTHER, "it is empty")
    if start.startswith(_GIT_LFS):
        return _refused(OTHER, "it is a pointer of git LFS; run `git lfs pull`")
    if start.startswith(b"PK"):
        return _zip(file)
    if start[8:9] == b"{":
        try:
            found = safetensors_file.tensors(file)
        except BrokenError as error:
            return _refused(SAFETENSORS, str(error))
        return CheckpointFacts(format=SAFETENSORS, tensors=found)
    return _legacy(file)


def _refused(
    kind: str, problem: str, followed: Followed | None = None
) -> CheckpointFacts:
    named = tuple(followed.globals) if followed else ()
    unsafe = [name for name in named if name not in SAFE_GLOBALS]
    if unsafe:
        more = f" and {len(unsafe) - 5} more" if len(unsafe) > 5 else ""
        problem = f"its pickle names {', '.join(unsafe[:5])}{more}"
    return CheckpointFacts(
        format=kind, globals=named, is_accepted=False, problem=problem
    )


# torch.save


class _Directory:
    """A zip file, of which zipfile shall not read too much at once.

    It reads the directory as a whole, however large the file says that it is.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        """Say so; zipfile asks."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read as a file does, but not for ever."""
        if size > _MAX_DIRECTORY_BYTES:
            raise BrokenError("it is a zip archive with too many members")
        return self._file.read(size if size >= 0 else _MAX_DIRECTORY_BYTES)


def _zip(file: BinaryIO) -> CheckpointFacts:
    followed, kind = Followed(), OTHER
    try:
        whole = _Directory(file)
        if not zipfile.is_zipfile(whole):
            return _refused(kind, "it is a zip archive that is cut off")
        with zipfile.ZipFile(whole) as archive:
            members = {one.filename: one for one in archive.infolist()}
            if any(name.endswith("/constants.pkl") for name in members):
                return CheckpointFacts(format=TORCHSCRIPT)
            root = next(iter(members), "").partition("/")[0]
            if f"{root}/data.pkl" not in members:
                return _refused(OTHER, "it is a zip archive without data.pkl")
            kind = TORCH
            _check_names([one.filename for one in archive.infolist()], root)
            follow(_member(archive, members[f"{root}/data.pkl"]), followed)
            for storage in followed.storages.values():
                name = f"{root}/data/{storage.key}"
                _check_storage(name, members.get(name), storage, archive.start_dir)
    except BrokenError as error:
        return _refused(kind, str(error), followed)
    except Exception:  # noqa: BLE001 - a damaged zip file fails in every way there is
        return _refused(kind, "it is a damaged zip archive", followed)
    return _torch(kind, followed)


def _check_names(names: list[str], root: str) -> None:
    """Refuse names that two readers would understand differently."""
    if len({name.lower() for name in names}) < len(names):
        raise BrokenError("it is a zip archive with two members of one name")
    if not {f"{root}/version", f"{root}/.data/version"} & set(names):
        raise BrokenError("it is a zip archive without a version of torch's format")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BoundedStream:
    if member.file_size > MAX_PICKLE_BYTES:
        raise BrokenError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BrokenError("its pickle is compressed in a way that torch cannot read")
    whole = io.BytesIO()
    with archive.open(member) as stream:
        shutil.copyfileobj(stream, whole, 2**20)
    whole.seek(0)
    return BoundedStream(whole)


def _check_storage(
    name: str, member: zipfile.ZipInfo | None, storage: Storage, end: int
) -> None:
    """Look whether a storage has its numbers, before the directory at *end*."""
    if member is None:
        raise BrokenError(f"the numbers of {shown(name)} are missing")
    if member.compress_type != zipfile.ZIP_STORED:
        raise BrokenError("its tensors are compressed, and cannot be mapped")
    begins_too_late = member.header_offset + member.file_size > end
    if member.file_size < storage.size_bytes or begins_too_late:
        raise BrokenError(f"the numbers of {shown(name)} are cut off")


def _legacy(file: BinaryIO) -> CheckpointFacts:
    """Read a file of torch before 1.6: pickles, then the numbers of each storage."""
    followed, kind = Followed(), OTHER
    bounded = BoundedStream(file)
    try:
        start = file.read(1)
        file.seek(0)
        kind = PICKLE if start == b"\x80" else OTHER
        follow(bounded, followed)
        kind = PICKLE
        if followed.value != _MAGIC_NUMBER:
            return _refused(kind, "torch.save did not write it", followed)
        kind = LEGACY_TORCH
        if follow(bounded, followed).value != _PROTOCOL_VERSION:
            return _refused(kind, "its format is of another version", followed)
        follow(bounded, followed)
        state = follow(bounded, followed).value
        keys = follow(bounded, followed).value
        if followed.refusal is None:
            _check_legacy_storages(file, keys, followed)
    except BrokenError as error:
        if kind == OTHER and followed.globals:
            kind = PICKLE
        reason = "it is none of torch's formats" if kind == OTHER else str(error)
        return _refused(kind, reason, followed)
    followed.value = state
    return _torch(kind, followed)


def _check_legacy_storages(file: BinaryIO, keys: Any, followed: Followed) -> None:
    if "torch.storage.UntypedStorage" in followed.globals:
        raise BrokenError("its storages say no dtype, so torch cannot read it")
    at = file.tell()
    size = file.seek(0, io.SEEK_END)
    for key in keys if isinstance(keys, list) else ():
        storage = followed.storages.get(key) if isinstance(key, str | int) else None
        file.seek(at)
        count = int.from_bytes(file.read(8), "little")
        if storage is None or count != storage.count:
            raise BrokenError("its storages are not those that its pickle names")
        at += 8 + storage.size_bytes
        if at > size:
            raise BrokenError("its numbers are cut off")


def _torch(kind: str, followed: Followed) -> CheckpointFacts:
    """Judge what the handler would make of it."""
    if followed.refusal is not None:
        return _refused(kind, followed.refusal, followed)
    problem, state = _state(followed.value)
    tensors = tuple(
        Tensor(name=name, dtype=value.dtype, shape=value.shape)
        for name, value in state.items()
        if isinstance(value, TensorFacts) and isinstance(name, str)
    )
    return CheckpointFacts(
        format=kind, tensors=tensors, globals=tuple(followed.globals), problem=problem
    )


def _state(value: Any) -> tuple[str | None, Mapping[Any, Any]]:
    """Find the tensors by name, and say why that is not what the handler takes."""
    if not isinstance(value, Map):
        kind = "a tensor" if isinstance(value, TensorFacts) else type(value).__name__
        return f"it holds {kind}, not a state_dict", {}
    nested = {
        name: part.entries
        for name, part in value.entries.items()
        if isinstance(part, Map) and not _is_extra(name)
    }
    if nested:
        names = ", ".join(shown(name) for name in list(nested)[:5])
        inner = nested.get("state_dict") or max(nested.values(), key=len)
        return f"it is a dict with {names}; save only the state_dict", inner
    others = [
        name
        for name, part in value.entries.items()
        if not (isinstance(part, TensorFacts) and isinstance(name, str))
        and not _is_extra(name)
    ]
    if others or value.has_others:
        names = ", ".join(shown(name) for name in others[:5])
        return f"it holds more than tensors: {names}".rstrip(": "), value.entries
    return None, value.entries


def _is_extra(name: Any) -> bool:
    """Whether it is what a module's get_extra_state gave, which may be anything."""
    return isinstance(name, str) and name.endswith("_extra_state")
