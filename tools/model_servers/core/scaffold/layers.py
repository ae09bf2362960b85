"""The layers of torch.nn that a checkpoint's tensors belong to, by their shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from model_servers.core.checkpoint import Tensor


@dataclass(frozen=True, kw_only=True)
class Linear:
    """``nn.Linear``."""

    inputs: int
    outputs: int
    bias: bool

    @property
    def call(self) -> tuple[str, str]:
        """The class and its arguments."""
        return "nn.Linear", _arguments(self.inputs, self.outputs, bias=self.bias)


@dataclass(frozen=True, kw_only=True)
class Conv:
    """``nn.Conv1d`` to ``nn.Conv3d``, or the transposed ones.

    A checkpoint tells neither stride nor padding; this padding keeps the size.
    """

    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    bias: bool
    groups: int = 1
    transposed: bool = False

    @property
    def dims(self) -> int:
        """How many axes it slides along."""
        return len(self.kernel)

    @property
    def call(self) -> tuple[str, str]:
        """The class and its arguments."""
        padding = tuple(size // 2 for size in self.kernel)
        arguments = _arguments(
            self.inputs,
            self.outputs,
            _one_or_all(self.kernel),
            padding=_one_or_all(padding) if any(padding) else None,
            groups=self.groups if self.groups > 1 else None,
            bias=self.bias,
        )
        kind = "ConvTranspose" if self.transposed else "Conv"
        return f"nn.{kind}{self.dims}d", arguments


@dataclass(frozen=True, kw_only=True)
class Embedding:
    """``nn.Embedding``."""

    rows: int
    size: int

    @property
    def call(self) -> tuple[str, str]:
        """The class and its arguments."""
        return "nn.Embedding", _arguments(self.rows, self.size)


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """``nn.BatchNorm1d`` to ``nn.BatchNorm3d``; which one, the layers around tell."""

    size: int
    affine: bool
    counts: bool
    """Whether it counts batches; the frozen ones of detection models do not."""

    dims: int = 2

    @property
    def call(self) -> tuple[str, str]:
        """The class and its arguments."""
        if not self.counts:
            return "FrozenBatchNorm", _arguments(self.size)
        affine = None if self.affine else False
        return f"nn.BatchNorm{self.dims}d", _arguments(self.size, affine=affine)


@dataclass(frozen=True, kw_only=True)
class LayerNorm:
    """``nn.LayerNorm`` over the last axis."""

    size: int

    @property
    def call(self) -> tuple[str, str]:
        """The class and its arguments."""
        return "nn.LayerNorm", _arguments(self.size)


Layer: TypeAlias = Linear | Conv | Embedding | BatchNorm | LayerNorm

_RUNNING = {"running_mean", "running_var"}
_COUNT = "num_batches_tracked"


def recognise(name: str, tensors: Mapping[str, Tensor]) -> Layer | None:
    """Say whose tensors these are.

    Args:
        name: of the module, its last part.
        tensors: all that the module has, by their own names.

    Returns:
        None if they are no layer's whose parameters follow from the shapes.
    """
    if tensors.keys() >= _RUNNING:
        return _batch_norm(tensors)
    if tensors.keys() not in ({"weight"}, {"weight", "bias"}):
        return None
    weight = tensors["weight"].shape
    bias = tensors["bias"].shape if "bias" in tensors else None
    if 0 in weight or not all(map(_is_floating, tensors.values())):
        return None
    if len(weight) == 1:
        return LayerNorm(size=weight[0]) if bias == weight else None
    return _matrix(name, weight, bias) if len(weight) == 2 else _conv(weight, bias)


def _matrix(
    name: str, weight: tuple[int, ...], bias: tuple[int, ...] | None
) -> Layer | None:
    if bias is None and "emb" in name.lower():
        return Embedding(rows=weight[0], size=weight[1])
    if bias not in (None, weight[:1]):
        return None
    return Linear(inputs=weight[1], outputs=weight[0], bias=bias is not None)


def _conv(weight: tuple[int, ...], bias: tuple[int, ...] | None) -> Layer | None:
    if not 3 <= len(weight) <= 5:
        return None
    # A transposed convolution has its outputs second; only the bias tells.
    transposed = bias is not None and bias == weight[1:2] != weight[:1]
    inputs, outputs = weight[:2] if transposed else (weight[1], weight[0])
    if bias not in (None, (outputs,)):
        return None
    return Conv(
        inputs=inputs,
        outputs=outputs,
        kernel=weight[2:],
        bias=bias is not None,
        transposed=transposed,
    )


def _batch_norm(tensors: Mapping[str, Tensor]) -> Layer | None:
    counts, affine = _COUNT in tensors, "weight" in tensors
    if counts and (tensors[_COUNT].shape, tensors[_COUNT].dtype) != ((), "int64"):
        return None
    expected = _RUNNING | ({_COUNT} if counts else set())
    expected |= {"weight", "bias"} if affine or not counts else set()
    shapes = {tensor.shape for name, tensor in tensors.items() if name != _COUNT}
    (shape, *others) = shapes
    if tensors.keys() != expected or others or len(shape) != 1 or shape[0] == 0:
        return None
    if not all(_is_floating(tensors[name]) for name in expected - {_COUNT}):
        return None
    return BatchNorm(size=shape[0], affine=affine, counts=counts)


def _is_floating(tensor: Tensor) -> bool:
    return "float" in tensor.dtype


def _one_or_all(sizes: tuple[int, ...]) -> int | tuple[int, ...]:
    return sizes[0] if len(set(sizes)) == 1 else sizes


def _arguments(*positional: object, bias: bool = True, **named: object) -> str:
    parts = [str(value) for value in positional]
    parts += [f"{name}={value}" for name, value in named.items() if value is not None]
    return ", ".join(parts if bias else [*parts, "bias=False"])
