"""Batches: which samples go together, how they are stacked and split again; pure."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from model_servers_handler.tensors import is_array, is_tensor, like


def takes_several(forward: Callable[..., Any]) -> bool:
    """Whether a model takes the parts of a sample as arguments of their own.

    If so, it gets a tuple by position and a dict by name; a model of one argument
    gets them whole.
    """
    try:
        parameters = inspect.signature(forward).parameters.values()
    except (TypeError, ValueError):
        return False
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return len(parameters) > 1 or any(p.kind in several for p in parameters)


def kind_of(sample: Any) -> Any:
    """Give what samples must have in common to be stacked; hashable."""
    if is_tensor(sample):
        return "tensor", sample.dtype, sample.shape, sample.device
    if is_array(sample):
        return "array", sample.dtype, sample.shape
    if isinstance(sample, dict):
        return "dict", tuple((key, kind_of(value)) for key, value in sample.items())
    if isinstance(sample, tuple):
        return "tuple", tuple(map(kind_of, sample))
    return (type(sample).__name__,)


def kind_text(kind: Any) -> str:
    """Write a sample's kind for a reader, such as `float32[3, 224, 224]`."""
    match kind:
        case ("tensor" | "array", dtype, shape, *_):
            return f"{str(dtype).removeprefix('torch.')}{list(shape)}"
        case ("dict", parts):
            return (
                f"{{{', '.join(f'{key}: {kind_text(part)}' for key, part in parts)}}}"
            )
        case ("tuple", parts):
            return f"({', '.join(map(kind_text, parts))})"
    return str(kind[0])


def stack(samples: list[Any], *, inside: bool) -> Any:
    """Make one batch of samples of one kind; a list if they cannot be stacked.

    Args:
        samples: `B` of them, of shape `(...)`.
        inside: stack the parts of dicts and tuples too.

    Returns:
        shape `(B, ...)`.
    """
    first = samples[0]
    if is_tensor(first):
        if len(samples) == 1:
            return first.unsqueeze(0)
        import torch

        return torch.stack(samples)
    if is_array(first):
        import numpy as np

        return np.stack(samples)
    if inside and isinstance(first, dict):
        return {key: stack([s[key] for s in samples], inside=True) for key in first}
    if inside and isinstance(first, tuple):
        columns = zip(*samples, strict=True)
        return tuple(stack(list(part), inside=True) for part in columns)
    return samples


def stack_pinned(samples: list[Any], buffers: dict[Any, Any]) -> Any:
    """Stack in page-locked memory, which a GPU copies faster, and keep it for reuse.

    The copy of one batch has ended when the next is stacked: the model's output was
    waited for, or the device after a failure.
    """
    import torch

    first = samples[0]
    if first.device.type != "cpu":
        return torch.stack(samples)
    kind = kind_of(first)
    buffer = buffers.get(kind)
    if buffer is None or len(buffer) < len(samples):
        if len(buffers) >= 8:
            buffers.clear()
        shape = (len(samples), *first.shape)
        buffer = torch.empty(shape, dtype=first.dtype, pin_memory=True)
        buffers[kind] = buffer
    return torch.stack(samples, out=buffer[: len(samples)])


def split(output: Any, count: int) -> list[Any]:
    """Give each sample its part of the model's output.

    A tensor or array is split along its first axis; of a tuple or dict, each part
    is; a list has one item for each sample.

    Returns:
        *count* outputs without the batch axis; views, not copies.

    Raises:
        ValueError: the output has no part for each sample.
    """
    found = list(getattr(output, "shape", ()))
    if is_tensor(output) and found[:1] == [count]:
        return list(output.unbind())
    if is_array(output) and found[:1] == [count]:
        return list(output)
    if isinstance(output, list) and len(output) == count:
        return output
    if isinstance(output, Mapping):
        columns = {key: split(part, count) for key, part in output.items()}
        return [{key: c[row] for key, c in columns.items()} for row in range(count)]
    if isinstance(output, tuple) and output:
        parts = [split(part, count) for part in output]
        return [like(output, list(row)) for row in zip(*parts, strict=True)]
    if output is None:
        return [None] * count
    what = f"{type(output).__name__} of shape {found}"
    if isinstance(output, list):
        what = f"a list of {len(output)}"
    raise ValueError(
        f"the model returned {what} for {count} sample(s); the first axis of its output"
        " is the batch"
    )
