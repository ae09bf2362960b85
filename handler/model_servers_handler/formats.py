"""The binary formats .npy and safetensors, read and written without pickle; pure."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any

from model_servers_handler.errors import RequestError
from model_servers_handler.json_text import json_default
from model_servers_handler.tensors import is_tensor

NPY = ("application/npy", "application/x-npy", "application/x-numpy")
SAFETENSORS = (
    "application/safetensors",
    "application/x-safetensors",
    "application/vnd.safetensors",
)
SAFETENSORS_DTYPES = {
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
SAFETENSORS_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}


def decode_npy(value: bytes | bytearray) -> Any:
    """Decode an .npy file into a `numpy.ndarray`; one of Python objects is refused."""
    import numpy as np

    return np.load(io.BytesIO(value), allow_pickle=False)


def encode_npy(value: Any) -> bytes:
    """Write a tensor, an array or nested lists of numbers as an .npy file."""
    import numpy as np

    try:
        numbers = np.asarray(json_default(value) if is_tensor(value) else value)
    except ValueError as error:
        raise RequestError("the answer is ragged; accept JSON", status=406) from error
    if numbers.dtype == object:
        raise RequestError("the answer is no array; accept JSON", status=406)
    buffer = io.BytesIO()
    np.save(buffer, numbers, allow_pickle=False)
    return buffer.getvalue()


def decode_safetensors(value: bytes | bytearray) -> Any:
    """Decode a safetensors file: its tensor, or a dict if it has several."""
    tensors = safetensors_views(bytearray(value))
    return next(iter(tensors.values())) if len(tensors) == 1 else tensors


def encode_safetensors(value: Any) -> bytes:
    """Write tensors by name as a safetensors file; a single one is named `output`."""
    import torch

    entries: dict[str, Any] = {}
    chunks: list[bytes] = []
    start = 0
    named = value if isinstance(value, Mapping) else {"output": value}
    for name, part in named.items():
        try:
            tensor = torch.as_tensor(part).detach().cpu().contiguous()
            dtype = SAFETENSORS_NAMES[str(tensor.dtype).removeprefix("torch.")]
        except (TypeError, ValueError, RuntimeError, KeyError) as error:
            raise RequestError(
                "the answer is no tensor; accept JSON", status=406
            ) from error
        chunks.append(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        offsets = [start, start := start + len(chunks[-1])]
        shape = list(tensor.shape)
        entries[str(name)] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *chunks])


def safetensors_views(buffer: Any) -> dict[str, Any]:
    """Give the tensors of a safetensors file, as views of its bytes.

    Raises:
        ValueError: the bytes are not such a file.

    Source: https://github.com/huggingface/safetensors#format
    """
    length = int.from_bytes(buffer[:8], "little")
    if len(buffer) < 8 or length > len(buffer) - 8:
        raise ValueError("the safetensors header is cut off")
    start = 8 + length
    entries = dict(json.loads(bytes(buffer[8:start])))
    entries.pop("__metadata__", None)
    return {name: _view(buffer, start, entry) for name, entry in entries.items()}


def _view(buffer: Any, start: int, entry: Mapping[str, Any]) -> Any:
    import torch

    dtype = getattr(torch, SAFETENSORS_DTYPES[entry["dtype"]])
    shape = [int(size) for size in entry["shape"]]
    begin, end = (start + int(offset) for offset in entry["data_offsets"])
    count = math.prod(shape)
    size = torch.empty(0, dtype=dtype).element_size()
    if not (start <= begin <= end <= len(buffer)) or end - begin != count * size:
        raise ValueError("a tensor of the safetensors file is outside of it")
    if count == 0:
        return torch.empty(shape, dtype=dtype)
    if begin % size:
        buffer, begin = bytearray(buffer[begin:end]), 0
    flat = torch.frombuffer(buffer, dtype=dtype, count=count, offset=begin)
    return flat.reshape(shape)
