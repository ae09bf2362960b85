"""Reads what a checkpoint holds, without executing anything of it or importing torch.

It is read as the shared handler reads it: what a file is decides its content, not
its name.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from model_servers.adapters.weights_pickle import (
    MAX_PICKLE_BYTES,
    BoundedStream,
    Followed,
    follow,
)
from model_servers.adapters.weights_values import (
    Map,
    NoPickleError,
    Storage,
    TensorFacts,
)
from model_servers.core.checkpoint import (
    ELEMENT_BYTES,
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

_MAX_HEADER_BYTES = 16 * 2**20
_MAX_DIRECTORY_BYTES = 16 * 2**20
"""Of a zip file: some 200,000 members."""

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
_GIT_LFS = b"version https://git-lfs"
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
"""The dtypes of safetensors that the shared handler knows."""


class _BrokenError(Exception):
    """Why a file is not what it seems to be."""


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
        return _safetensors(file)
    return _legacy(file)


def _refused(
    kind: str, problem: str, followed: Followed | None = None
) -> CheckpointFacts:
    named = tuple(followed.globals) if followed else ()
    unsafe = [name for name in named if name not in SAFE_GLOBALS]
    if unsafe:
        problem = f"its pickle names {', '.join(unsafe)}"
    return CheckpointFacts(
        format=kind, globals=named, is_accepted=False, problem=problem
    )


# torch.save


def _zip(file: BinaryIO) -> CheckpointFacts:
    followed, kind = Followed(), OTHER
    try:
        _check_directory(file)
        with zipfile.ZipFile(file) as archive:
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
                _check_storage(members, f"{root}/data/{storage.key}", storage)
    except (_BrokenError, NoPickleError) as error:
        return _refused(kind, str(error), followed)
    except Exception:  # noqa: BLE001 - a damaged zip file fails in every way there is
        return _refused(kind, "it is a damaged zip archive", followed)
    return _torch(kind, followed)


def _check_directory(file: BinaryIO) -> None:
    """Look at the size of the directory before anybody reads it into memory."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - 65_557))
    tail = file.read(65_557)
    end = tail.rfind(b"PK\5\6")
    if end < 0:
        raise _BrokenError("it is a zip archive that is cut off")
    sizes = [int.from_bytes(tail[end + 12 : end + 16], "little")]
    if end >= 76 and tail[end - 20 : end - 16] == b"PK\6\7":  # zip64
        sizes = [int.from_bytes(tail[end - 36 : end - 28], "little")]
    if sizes[0] > _MAX_DIRECTORY_BYTES:
        raise _BrokenError("it is a zip archive with too many members")


def _check_names(names: list[str], root: str) -> None:
    """Refuse names that two readers would understand differently."""
    if len({name.lower() for name in names}) < len(names):
        raise _BrokenError("it is a zip archive with two members of one name")
    if not {f"{root}/version", f"{root}/.data/version"} & set(names):
        raise _BrokenError("it is a zip archive without a version of torch's format")


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BoundedStream:
    if member.file_size > MAX_PICKLE_BYTES:
        raise _BrokenError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes")
    with archive.open(member) as stream:
        return BoundedStream(io.BytesIO(stream.read(MAX_PICKLE_BYTES)))


def _check_storage(
    members: Mapping[str, zipfile.ZipInfo], name: str, storage: Storage
) -> None:
    member = members.get(name)
    if member is None or member.file_size < storage.size_bytes:
        raise _BrokenError(f"the numbers of {name!r} are missing or cut off")
    if member.compress_type != zipfile.ZIP_STORED:
        raise _BrokenError("its tensors are compressed, and cannot be mapped")


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
    except (_BrokenError, NoPickleError) as error:
        if kind == OTHER and followed.globals:
            kind = PICKLE
        reason = "it is none of torch's formats" if kind == OTHER else str(error)
        return _refused(kind, reason, followed)
    followed.value = state
    return _torch(kind, followed)


def _check_legacy_storages(file: BinaryIO, keys: Any, followed: Followed) -> None:
    if "torch.storage.UntypedStorage" in followed.globals:
        raise _BrokenError("its storages say no dtype, so torch cannot read it")
    at = file.tell()
    size = file.seek(0, io.SEEK_END)
    for key in keys if isinstance(keys, list) else ():
        storage = followed.storages.get(key) if isinstance(key, str | int) else None
        file.seek(at)
        count = int.from_bytes(file.read(8), "little")
        if storage is None or count != storage.count:
            raise _BrokenError("its storages are not those that its pickle names")
        at += 8 + storage.size_bytes
        if at > size:
            raise _BrokenError("its numbers are cut off")


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
        shown = ", ".join(str(name)[:40] for name in list(nested)[:5])
        inner = nested.get("state_dict") or max(nested.values(), key=len)
        return f"it is a dict with {shown}; save only the state_dict", inner
    others = [
        name
        for name, part in value.entries.items()
        if not (isinstance(part, TensorFacts) and isinstance(name, str))
        and not _is_extra(name)
    ]
    if others or value.has_others:
        shown = ", ".join(repr(name)[:40] for name in others[:5])
        return f"it holds more than tensors: {shown}".rstrip(": "), value.entries
    return None, value.entries


def _is_extra(name: Any) -> bool:
    """Whether it is what a module's get_extra_state gave, which may be anything."""
    return isinstance(name, str) and name.endswith("_extra_state")


# safetensors


def _safetensors(file: BinaryIO) -> CheckpointFacts:
    """Read the header.

    Source: https://github.com/huggingface/safetensors#format
    """
    try:
        header, data_bytes = _header(file)
        entries = {k: v for k, v in header.items() if k != "__metadata__"}
        tensors = tuple(_entry(*entry, data_bytes) for entry in entries.items())
    except _BrokenError as error:
        return _refused(SAFETENSORS, str(error))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return _refused(SAFETENSORS, "its header is damaged")
    return CheckpointFacts(format=SAFETENSORS, tensors=tensors)


def _header(file: BinaryIO) -> tuple[Any, int]:
    """Give the header, and how many bytes follow it."""
    data_bytes = file.seek(0, io.SEEK_END) - 8
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > data_bytes:
        raise _BrokenError("its header is cut off")
    if length > _MAX_HEADER_BYTES:
        raise _BrokenError(f"its header is larger than {_MAX_HEADER_BYTES} bytes")
    return json.loads(file.read(length)), data_bytes - length


def _entry(name: str, entry: Mapping[str, Any], data_bytes: int) -> Tensor:
    shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
    if entry["dtype"] not in _DTYPES:
        raise _BrokenError(f"the dtype of {name!r} is unknown")
    dtype = _DTYPES[entry["dtype"]]
    numbers = (*shape, begin, end)
    if not all(type(one) is int and 0 <= one < 2**63 for one in numbers):
        raise _BrokenError(f"the place of {name!r} is no place")
    needed = math.prod(shape) * ELEMENT_BYTES.get(dtype, 1)
    if not begin <= end <= data_bytes or end - begin != needed:
        raise _BrokenError(f"the numbers of {name!r} are outside of the file")
    return Tensor(name=name, dtype=dtype, shape=shape)
