"""Reads what a checkpoint holds without executing anything of it."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

from model_servers.core.checkpoint import CheckpointFacts, Tensor

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
}
_REBUILT = ("torch._utils", "_rebuild_tensor_v2")


def read(path: Path) -> CheckpointFacts:
    """Read the facts of a .pt, .pth or .safetensors file."""
    try:
        if path.suffix == ".safetensors":
            return CheckpointFacts(format="safetensors", tensors=_safetensors(path))
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(name.endswith("/constants.pkl") for name in names):
                return CheckpointFacts(format="torchscript")
            pickles = [name for name in names if name.endswith("/data.pkl")]
            with archive.open(pickles[0]) as stream:
                state = _Inert(stream).load()
    except pickle.UnpicklingError as error:
        return CheckpointFacts(format="torch", problem=str(error))
    except Exception as error:  # noqa: BLE001 - junk fails in every way there is
        return CheckpointFacts(format="torch", problem=f"it cannot be read: {error!r}")
    if not isinstance(state, dict) or not all(
        isinstance(value, tuple) for value in state.values()
    ):
        return CheckpointFacts(format="torch", problem="it holds more than tensors")
    tensors = tuple(
        Tensor(name=name, dtype=dtype, shape=shape)
        for name, (dtype, shape) in state.items()
    )
    return CheckpointFacts(format="torch", tensors=tensors)


def _safetensors(path: Path) -> tuple[Tensor, ...]:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    return tuple(
        Tensor(name=name, dtype=_DTYPES[entry["dtype"]], shape=tuple(entry["shape"]))
        for name, entry in header.items()
    )


class _State(OrderedDict[str, Any]):
    """Takes the attributes that torch gives a state_dict."""


class _Inert(pickle.Unpickler):
    """Builds nothing but dtypes and shapes."""

    def persistent_load(self, pid: Any) -> Any:
        return pid[1]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _State
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if (module, name) == _REBUILT:
            return lambda dtype, _offset, shape, *_rest: (dtype, tuple(shape))
        raise pickle.UnpicklingError(f"its pickle names {module}.{name}")
