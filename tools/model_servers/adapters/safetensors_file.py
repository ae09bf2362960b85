"""Reads the header of a safetensors file: its tensors, without their numbers.

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, BinaryIO

from model_servers.adapters.weights_values import MAX_DIMENSIONS, BrokenError, shown
from model_servers.core.checkpoint import ELEMENT_BYTES, Tensor

_MAX_HEADER_BYTES = 8 * 2**20
_MAX_BRACKETS = 150_000
"""In the header: three for each of some 50,000 tensors, parsed within a second."""

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
"""The dtypes that the shared handler knows."""


def tensors(file: BinaryIO) -> tuple[Tensor, ...]:
    """List the tensors in the order of the header.

    Raises:
        BrokenError: the header is damaged, or says what cannot be.
    """
    try:
        header, data_bytes = _header(file)
        entries = {k: v for k, v in header.items() if k != "__metadata__"}
        found = tuple(_tensor(*entry) for entry in entries.items())
        places = [tuple(entry["data_offsets"]) for entry in entries.values()]
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        raise BrokenError("its header is damaged") from error
    _check_places(sorted(places), data_bytes)
    return found


def _header(file: BinaryIO) -> tuple[Any, int]:
    """Give the header, and how many bytes follow it."""
    data_bytes = file.seek(0, io.SEEK_END) - 8
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > data_bytes:
        raise BrokenError("its header is cut off")
    if length > _MAX_HEADER_BYTES:
        raise BrokenError(f"its header is larger than {_MAX_HEADER_BYTES} bytes")
    text = file.read(length)
    if text.count(b"{") + text.count(b"[") > _MAX_BRACKETS:
        raise BrokenError("its header has too many entries")
    return json.loads(text, object_pairs_hook=_unique), data_bytes - length


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice: which one counts depends on who reads it."""
    items = dict(pairs)
    if len(items) < len(pairs):
        raise BrokenError("its header has a name twice")
    return items


def _tensor(name: str, entry: Mapping[str, Any]) -> Tensor:
    shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
    if entry["dtype"] not in _DTYPES:
        raise BrokenError(f"the dtype of {shown(name)} is unknown")
    dtype = _DTYPES[entry["dtype"]]
    numbers = (*shape, begin, end)
    is_short = len(shape) <= MAX_DIMENSIONS
    if not is_short or not all(
        type(one) is int and 0 <= one < 2**63 for one in numbers
    ):
        raise BrokenError(f"the place of {shown(name)} is no place")
    if end - begin != math.prod(shape) * ELEMENT_BYTES.get(dtype, 1):
        raise BrokenError(f"{shown(name)} has not the bytes of its shape")
    return Tensor(name=name, dtype=dtype, shape=shape)


def _check_places(places: list[tuple[int, int]], data_bytes: int) -> None:
    """Look whether the tensors follow each other, and end where the file does."""
    end = places[-1][1] if places else 0
    if end > data_bytes:
        raise BrokenError("its tensors are cut off")
    starts_late = bool(places) and places[0][0] != 0
    has_gaps = any(one[1] != other[0] for one, other in pairwise(places))
    if starts_late or has_gaps or end < data_bytes:
        raise BrokenError("its tensors overlap or leave gaps; safetensors refuses it")
