"""What a checkpoint's file says of itself, read without executing anything."""

from __future__ import annotations

from dataclasses import dataclass

TORCH = "torch"
"""A zip file of torch.save, which the handler maps."""

LEGACY_TORCH = "torch before 1.6"
"""What torch.save wrote before it made zip files."""

SAFETENSORS = "safetensors"
TORCHSCRIPT = "torchscript"
PICKLE = "pickle"
"""A pickle that torch.save did not write."""

OTHER = "other"
"""Nothing of torch's: ONNX, say, which is for the author's own code to read."""

ELEMENT_BYTES = {
    **dict.fromkeys(["complex128"], 16),
    **dict.fromkeys(["float64", "int64", "uint64", "complex64"], 8),
    **dict.fromkeys(["float32", "int32", "uint32", "complex32", "qint32"], 4),
    **dict.fromkeys(["float16", "bfloat16", "int16", "uint16", "bits16"], 2),
}
"""By dtype; each other dtype takes one byte."""

_DTYPES = (
    *ELEMENT_BYTES,
    *("bool", "int8", "uint8", "qint8", "quint8", "quint2x4", "quint4x2"),
    *("bits1x8", "bits2x4", "bits4x2", "bits8", "float4_e2m1fn_x2", "float8_e8m0fnu"),
    *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in range(1, 8)),
)

STORAGES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
    "torch.ComplexDoubleStorage": "complex128",
    "torch.ComplexFloatStorage": "complex64",
    "torch.QInt8Storage": "qint8",
    "torch.QInt32Storage": "qint32",
    "torch.QUInt8Storage": "quint8",
    "torch.QUInt2x4Storage": "quint2x4",
    "torch.QUInt4x2Storage": "quint4x2",
    "torch.storage.UntypedStorage": "uint8",
}
"""The dtype of each kind of storage that a pickle can name."""

_NUMBERS = (
    *("BFloat16", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short"),
)
_TENSORS = (
    *(
        f"{place}.{kind}Tensor"
        for place in ("torch", "torch.cuda")
        for kind in _NUMBERS
    ),
    *(
        f"{place}.sparse.{k}Tensor"
        for place in ("torch", "torch.cuda")
        for k in _NUMBERS
    ),
    "torch.BoolTensor",
    "torch.cuda.BoolTensor",
)
_CUDA_STORAGES = (
    f"torch.cuda.{kind}Storage"
    for kind in (*_NUMBERS, "Bool", "ComplexDouble", "ComplexFloat")
)
_QUANTIZED = (
    *("per_tensor_affine", "per_tensor_symmetric", "per_channel_affine"),
    *("per_channel_symmetric", "per_channel_affine_float_qparams"),
)
_REBUILD = (
    *("parameter", "parameter_with_state", "qtensor", "tensor", "tensor_v2"),
    *("tensor_v3", "sparse_tensor", "meta_tensor_no_storage", "nested_tensor"),
    *("wrapper_subclass", "device_tensor_from_numpy", "device_tensor_from_cpu_tensor"),
)

VALUES = frozenset(f"torch.{name}" for name in (*_DTYPES, *_QUANTIZED))
"""Those of the globals below that cannot be called."""

SAFE_GLOBALS = frozenset(
    {
        *("collections.OrderedDict", "collections.Counter", "_codecs.encode"),
        *("builtins.bytearray", "builtins.set", "builtins.complex"),
        *("torch.nn.parameter.Parameter", "torch.serialization._get_layout"),
        *("torch.Size", "torch.Tensor", "torch.device", "torch.storage.TypedStorage"),
        "torch._tensor._rebuild_from_type_v2",
        *(f"torch._utils._rebuild_{name}" for name in _REBUILD),
        *VALUES,
        *STORAGES,
        *_TENSORS,
        *_CUDA_STORAGES,
    }
)
"""What a pickle may name for ``torch.load(weights_only=True)`` to read it.

Source: ``_get_allowed_globals()`` in torch/_weights_only_unpickler.py, torch 2.13.
"""


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a checkpoint."""

    name: str
    dtype: str
    """As torch writes it, without ``torch.``: ``float32``, ``bfloat16``, ``int64``."""

    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CheckpointFacts:
    """A checkpoint as read."""

    format: str
    """One of the words above."""

    tensors: tuple[Tensor, ...] = ()
    """In the order of the file."""

    globals: tuple[str, ...] = ()
    """What a pickle in it names, in its order."""

    is_accepted: bool = True
    """Whether the library of its format reads it, torch with ``weights_only=True``."""

    problem: str | None = None
    """Why it is no checkpoint that the handler loads; None if it is one."""

    @property
    def unsafe_globals(self) -> tuple[str, ...]:
        """What a pickle in it names that can run code."""
        return tuple(name for name in self.globals if name not in SAFE_GLOBALS)
