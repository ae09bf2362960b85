"""What stands for the values of a weights pickle, and what calling a global gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from model_servers.core.checkpoint import ELEMENT_BYTES

MAX_DIMENSIONS = 64
"""Of a tensor. torch knows no bound; multiplying a million sizes takes for ever."""

_MAX_ARGUMENTS = 32

Spend = Callable[[int], None]
"""Counts work that one step of a pickle asks for; raises NoPickleError at the end."""


class BrokenError(Exception):
    """Why a file is not what it seems to be."""


class NoPickleError(BrokenError):
    """It is no pickle, or none that can be followed to its end."""


@dataclass(frozen=True)
class Global:
    """A name that the pickle would import."""

    path: str


@dataclass(frozen=True)
class Storage:
    """Where tensors have their numbers."""

    key: Any
    dtype: str
    count: int

    @property
    def size_bytes(self) -> int:
        """What it takes in the file."""
        return self.count * ELEMENT_BYTES.get(self.dtype, 1)


@dataclass(frozen=True)
class TensorFacts:
    """A tensor without its numbers."""

    dtype: str
    shape: tuple[int, ...]


@dataclass
class Map:
    """A dict, an OrderedDict or a Counter."""

    kind: str = "dict"
    entries: dict[Any, Any] = field(default_factory=dict)
    """By keys that are text, numbers or the like; hashing others can take for ever."""

    has_others: bool = False

    def put(self, key: Any, value: Any) -> None:
        """Set an item."""
        if is_key(key) or key is None or isinstance(key, bytes | float):
            self.entries[key] = value
        else:
            self.has_others = True


@dataclass(frozen=True)
class Thing:
    """Any other value, of which only its kind is known."""

    kind: str


def shown(name: Any) -> str:
    """Show a name of any length to people."""
    text = name if isinstance(name, str) else repr(name)
    return repr(text) if len(text) <= 80 else f"{text[:80]!r}..."


def path_of(value: Any) -> str:
    """Give a global's path; nothing for anything else."""
    return value.path if isinstance(value, Global) else ""


def is_size(value: Any) -> bool:
    """Whether torch can count so far."""
    return isinstance(value, int) and 0 <= value < 2**63


def is_key(value: Any) -> bool:
    """Whether it can be a key without its hash taking long: numbers have no bound."""
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 2**63)


def made(path: str, arguments: Any, spend: Spend) -> Any:
    """Say what calling a global gives."""
    if not isinstance(arguments, tuple):
        raise NoPickleError("its pickle calls a function without arguments")
    if len(arguments) > _MAX_ARGUMENTS:
        raise NoPickleError("its pickle calls a function with too many arguments")
    if path == _FROM_TYPE:
        return _from_type(*arguments, spend=spend)
    if path in _MAPS:
        return _map(_MAPS[path], *arguments, spend=spend)
    make = _MADE.get(path)
    return make(*arguments) if make is not None else Thing(path)


def _map(kind: str, items: Any = (), *, spend: Spend) -> Map:
    spend(len(items.entries if isinstance(items, Map) else items))
    made = Map(kind)
    pairs = items.entries.items() if isinstance(items, Map) else items
    for key, value in pairs:
        made.put(key, value)
    return made


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_rest: Any) -> Any:
    return _view(storage, offset, size, stride, storage.dtype)


def _tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any,
    dtype: Any, *_rest: Any,
) -> Any:  # fmt: skip
    return _view(storage, offset, size, stride, _dtype(dtype))


def _view(storage: Any, offset: Any, size: Any, stride: Any, dtype: str) -> TensorFacts:
    """Give a tensor, if it is inside of its storage."""
    shape = _shape(size)
    if not isinstance(storage, Storage) or len(shape) != len(_shape(stride)):
        raise NoPickleError("its pickle has a tensor without numbers")
    last = sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    end = offset + last + 1 if 0 not in shape else 0
    if not is_size(offset) or end * ELEMENT_BYTES.get(dtype, 1) > storage.size_bytes:
        raise NoPickleError("its pickle has a tensor outside of its storage")
    return TensorFacts(dtype, shape)


def _shape(size: Any) -> tuple[int, ...]:
    is_short = isinstance(size, tuple) and len(size) <= MAX_DIMENSIONS
    if not is_short or not all(map(is_size, size)):
        raise NoPickleError("its pickle has a tensor without a shape")
    return tuple(size)


def _size(size: Any = ()) -> tuple[Any, ...]:
    if not isinstance(size, tuple | list) or len(size) > MAX_DIMENSIONS:
        raise NoPickleError("its pickle has a size that is none")
    return tuple(size)


def _dtype(value: Any) -> str:
    return path_of(value).removeprefix("torch.") or "unknown"


def _parameter(data: Any, *_rest: Any) -> Any:
    return data


def _sparse(_layout: Any, data: Any, *_rest: Any) -> TensorFacts:
    return TensorFacts(data[1].dtype, _shape(data[2]))


def _meta(dtype: Any, size: Any, *_rest: Any) -> TensorFacts:
    return TensorFacts(_dtype(dtype), _shape(size))


def _from_type(
    function: Any, _type: Any, arguments: Any, _state: Any, *, spend: Spend
) -> Any:
    if path_of(function) == _FROM_TYPE:
        raise NoPickleError("its pickle makes a tensor out of itself")
    return made(path_of(function), arguments, spend)


_FROM_TYPE = "torch._tensor._rebuild_from_type_v2"
_MAPS = {"collections.OrderedDict": "OrderedDict", "collections.Counter": "Counter"}
_UTILS = "torch._utils._rebuild_"
_MADE: dict[str, Callable[..., Any]] = {
    "torch.Size": _size,
    "torch.nn.parameter.Parameter": _parameter,
    f"{_UTILS}parameter": _parameter,
    f"{_UTILS}parameter_with_state": _parameter,
    f"{_UTILS}tensor": _tensor,
    f"{_UTILS}tensor_v2": _tensor,
    f"{_UTILS}qtensor": _tensor,
    f"{_UTILS}tensor_v3": _tensor_v3,
    f"{_UTILS}sparse_tensor": _sparse,
    f"{_UTILS}meta_tensor_no_storage": _meta,
    f"{_UTILS}device_tensor_from_cpu_tensor": _parameter,
    f"{_UTILS}device_tensor_from_numpy": lambda *_: TensorFacts("unknown", ()),
    f"{_UTILS}nested_tensor": lambda *_: TensorFacts("unknown", ()),
    f"{_UTILS}wrapper_subclass": lambda *_: TensorFacts("unknown", ()),
}
