"""Whether layers obviously follow one another, and what then stands between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from model_servers.core.scaffold.layers import (
    BatchNorm,
    Conv,
    Embedding,
    Layer,
    LayerNorm,
    Linear,
)
from model_servers.core.scaffold.tree import Path, Raw, is_index

_BRANCHES = re.compile(
    r"att(n|ention)|query|key|value|qkv|[qkvo]_?proj|rnn|lstm|gru"
    r"|down_?sample|short_?cut|skip|resid|gate|expert|lora|adapter",
    re.IGNORECASE,
)
"""Names of modules whose results are not simply the next module's input."""


@dataclass(frozen=True)
class Step:
    """One layer of the forward pass, after what has no weights."""

    path: Path
    layer: Layer
    relu: bool = False
    pool: tuple[int, int] | None = None
    """Axes and size that a convolution's output is averaged to, then flattened."""


@dataclass(frozen=True)
class _Flow:
    """What flows from one layer to the next."""

    size: int
    """Features of a vector, or channels of an image."""

    dims: int
    """Axes of the image; 0 for a vector."""


def chain(leaves: Sequence[tuple[Path, Layer | Raw]]) -> tuple[Step, ...] | None:
    """Give the forward pass, if every layer takes what the one before it gives.

    Args:
        leaves: the layers and tensors without one, in the order of the file.

    Returns:
        None unless it is obvious: where a tensor belongs to no layer, tokens are
        looked up, a size does not fit, or a name says that there are branches.
    """
    steps: list[Step] = []
    flow: _Flow | None = None
    awaits_relu = False
    for number, (path, layer) in enumerate(leaves):
        if isinstance(layer, Raw | Embedding) or any(map(_BRANCHES.search, path)):
            return None
        computes = isinstance(layer, Linear | Conv)
        has_gap = bool(steps) and _leaves_out(steps[-1].path, path)
        relu = awaits_relu and (computes or has_gap)
        flow = flow or _start(layer, [other for _, other in leaves[number + 1 :]])
        step = _step(path, layer, flow, relu=relu)
        if step is None:
            return None
        steps.append(step)
        awaits_relu = computes or (awaits_relu and not relu)
        flow = _after(step.layer, flow)
    return tuple(steps)


def _leaves_out(before: Path, after: Path) -> bool:
    """Say whether a list leaves out a number between two: a module without tensors."""
    if before[:-1] != after[:-1] or not all(map(is_index, (before[-1], after[-1]))):
        return False
    return int(after[-1]) > int(before[-1]) + 1


def dressed(leaves: Iterable[tuple[Path, Layer | Raw]]) -> dict[Path, Layer]:
    """Give the batch norms for as many axes as the layer before them has."""
    dims, norms = 2, dict[Path, Layer]()
    for path, layer in leaves:
        match layer:
            case Conv():
                dims = layer.dims
            case Linear():
                dims = 1
            case BatchNorm():
                norms[path] = replace(layer, dims=dims)
    return norms


def _start(
    layer: Linear | Conv | BatchNorm | LayerNorm, others: Sequence[Layer | Raw]
) -> _Flow:
    match layer:
        case Linear():
            return _Flow(layer.inputs, 0)
        case Conv():
            return _Flow(layer.inputs, layer.dims)
        case LayerNorm():
            return _Flow(layer.size, 0)
        case BatchNorm():
            following = others[0] if others else None
            dims = following.dims if isinstance(following, Conv) else 0
            return _Flow(layer.size, dims)


def _step(path: Path, layer: Layer, flow: _Flow, *, relu: bool) -> Step | None:
    match layer:
        case Linear():
            pool = _pool(layer, flow)
            fits = layer.inputs == flow.size if flow.dims == 0 else pool is not None
            return Step(path, layer, relu=relu, pool=pool) if fits else None
        case Conv():
            groups = _groups(layer, flow)
            if groups is None:
                return None
            wide = replace(layer, inputs=flow.size, groups=groups)
            return Step(path, wide, relu=relu)
        case BatchNorm() if layer.size == flow.size:
            return Step(path, replace(layer, dims=flow.dims or 1), relu=relu)
        case LayerNorm() if layer.size == flow.size and flow.dims == 0:
            return Step(path, layer, relu=relu)
        case _:
            return None


def _pool(layer: Linear, flow: _Flow) -> tuple[int, int] | None:
    """Say to which size an image is averaged so that its pixels fit the layer."""
    pixels, rest = divmod(layer.inputs, flow.size)
    if flow.dims == 0 or rest:
        return None
    size = round(pixels ** (1 / flow.dims))
    return (flow.dims, size) if size**flow.dims == pixels else None


def _groups(layer: Conv, flow: _Flow) -> int | None:
    """Say in how many groups a convolution takes its channels: one, or one each."""
    if layer.dims != flow.dims:
        return None
    if layer.inputs == flow.size:
        return 1
    is_depthwise = layer.inputs == 1 and layer.outputs % flow.size == 0
    return flow.size if is_depthwise and not layer.transposed else None


def _after(layer: Layer, flow: _Flow) -> _Flow:
    match layer:
        case Linear():
            return _Flow(layer.outputs, 0)
        case Conv():
            return _Flow(layer.outputs, layer.dims)
        case _:
            return flow
