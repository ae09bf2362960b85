"""Values that may be tensors: telling, making and walking them; pure."""

from __future__ import annotations

import contextlib
import itertools
import sys
from array import array
from collections.abc import Callable, Mapping
from typing import Any


def is_tensor(value: Any) -> bool:
    """Whether it is a torch tensor; does not import torch."""
    torch = sys.modules.get("torch")
    # The base class, because Tensor's own check is written in Python, and slow.
    return torch is not None and isinstance(value, torch.Tensor.__base__)


def is_array(value: Any) -> bool:
    """Whether it is a numpy array; does not import numpy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def is_module(value: Any) -> bool:
    """Whether it is a torch module; does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def is_module_class(value: Any) -> bool:
    """Whether it is a class of torch modules; does not import torch."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(value, type):
        return False
    return issubclass(value, torch.nn.Module)


def inference_mode() -> contextlib.AbstractContextManager[Any]:
    """Switch off autograd, if torch is there at all."""
    torch = sys.modules.get("torch")
    return contextlib.nullcontext() if torch is None else torch.inference_mode()


def floating_dtype(model: Any) -> Any:
    """Give the dtype of the model's first floating-point weight, or torch's default."""
    import torch

    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()


def to_tensors(sample: Any, dtype: Any) -> Any:
    """Turn arrays, numbers and lists of numbers in a sample into tensors.

    Tensors and arrays keep their dtype, numbers get *dtype*; text, images and the
    like stay as they are.

    Raises:
        ValueError: a list is ragged.
        TypeError: a list holds something else than numbers.
    """
    if is_array(sample):
        return tensor_from_array(sample)
    if isinstance(sample, (bool, int, float)):
        return tensor_from_numbers([sample], dtype)[0]
    if isinstance(sample, Mapping):
        return {key: to_tensors(value, dtype) for key, value in sample.items()}
    if isinstance(sample, tuple) or (isinstance(sample, list) and is_parts(sample)):
        return tuple(to_tensors(value, dtype) for value in sample)
    if isinstance(sample, list):
        return tensor_from_numbers(sample, dtype)
    return sample


def is_parts(values: list[Any]) -> bool:
    """Whether a list holds tensors, arrays or structures of them, not numbers."""
    first = values[0] if values else None
    return is_tensor(first) or is_array(first) or isinstance(first, (Mapping, tuple))


def tensor_from_array(values: Any) -> Any:
    """Give a tensor that shares an array's memory where torch can."""
    import numpy as np
    import torch

    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    return torch.from_numpy(np.require(native, requirements=("C", "W")))


def tensor_from_numbers(values: list[Any], dtype: Any) -> Any:
    """Give a tensor of a list, or of nested lists of one shape, of numbers."""
    import torch

    if values and not isinstance(values[0], list):
        # Eight times faster than torch.tensor, which looks at each number twice.
        code, wide = ("f", dtype) if dtype == torch.float32 else ("d", torch.float64)
        return torch.frombuffer(array(code, values), dtype=wide).to(dtype)
    try:
        import numpy as np
    except ImportError:
        return torch.tensor(values, dtype=dtype)
    # Text or null among the numbers gives a dtype that torch refuses.
    return torch.from_numpy(np.array(values)).to(dtype)


def as_array(tensor: Any) -> Any:
    """Give a numpy array that shares a CPU tensor's memory, or the tensor itself.

    The tensor stays what it is where numpy is not there, or lacks its dtype.
    """
    if "numpy" not in sys.modules or not tensor.dim():
        return tensor
    try:
        return tensor.detach().numpy()
    except (TypeError, RuntimeError):
        return tensor


def map_tensors(change: Callable[[Any], Any], value: Any) -> Any:
    """Change each tensor in a structure of dicts, lists and tuples."""
    if is_tensor(value):
        return change(value)
    if isinstance(value, Mapping):
        return {key: map_tensors(change, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return like(value, [map_tensors(change, part) for part in value])
    return value


def like(sequence: Any, parts: list[Any]) -> Any:
    """Give parts as a list, tuple or named tuple, as *sequence* is one."""
    if hasattr(sequence, "_fields"):
        return type(sequence)(*parts)
    return tuple(parts) if isinstance(sequence, tuple) else parts
