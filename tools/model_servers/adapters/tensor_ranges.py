"""Finds where a checkpoint has its tensors, without torch and without reading them."""

from __future__ import annotations

import json
import re
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from model_servers.core.segments import Run

_TENSOR_RECORD = re.compile(r"[^/]+/data/[^/]+")
"""What torch.save calls a tensor's storage: ``<file's stem>/data/<number>``."""

_ENDINGS = {".pt", ".pth", ".bin", ".ckpt", ".safetensors"}
_MAX_HEADER_BYTES = 100 * 2**20
"""The most that a safetensors file's header may take (the format's own limit)."""

_LOCAL_HEADER_BYTES = 30


def tensor_ranges(path: Path) -> list[Run]:
    """List where the tensors are; none where the file is of another kind or damaged.

    Nothing that it says is trusted: where it lies, the cuts are poor, not wrong.
    """
    if path.suffix not in _ENDINGS:
        return []
    try:
        with path.open("rb") as stream:
            if stream.read(4) == b"PK\x03\x04":
                return _zip_records(stream)
            return _safetensors(stream) if path.suffix == ".safetensors" else []
    except Exception:  # noqa: BLE001 - junk fails in every way there is
        return []


def _zip_records(stream: BinaryIO) -> list[Run]:
    """Read the directory, and from each record's own header where its data begins."""
    with zipfile.ZipFile(stream) as archive:
        records = archive.infolist()
    runs = []
    for record in records:
        if _TENSOR_RECORD.fullmatch(record.filename):
            stream.seek(record.header_offset)
            header = stream.read(_LOCAL_HEADER_BYTES)
            name_length, extra_length = struct.unpack_from("<HH", header, 26)
            start = record.header_offset + len(header) + name_length + extra_length
            runs.append(Run(start, record.compress_size))
    return runs


def _safetensors(stream: BinaryIO) -> list[Run]:
    """Read the header: eight bytes of its length, then JSON.

    Source: the safetensors format, github.com/huggingface/safetensors, "Format".
    """
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    header = json.loads(stream.read(min(length, _MAX_HEADER_BYTES)))
    header.pop("__metadata__", None)
    places = [entry["data_offsets"] for entry in header.values()]
    return [Run(8 + length + start, end - start) for start, end in places]
