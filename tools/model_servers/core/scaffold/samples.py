"""Requests for a model of which only the first layer's shape is known."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from model_servers.core.scaffold.layers import Conv, Embedding, Layer

_INLINE = 2048
"""With more numbers than this a request stands in a file of its own."""

_EDGES = {0: 1, 1: 16, 2: 8, 3: 4}
"""How long the axes of an image are, by their number."""


@dataclass(frozen=True)
class Sample:
    """One sample, without a batch axis: nested lists of numbers."""

    shape: tuple[int, ...]
    tokens: int = 0
    """How many different tokens there are; 0 for numbers with a point."""

    @classmethod
    def of(cls, layer: Layer | None, *, dims: int = 0) -> Sample:
        """Give a sample that *layer* takes.

        Args:
            layer: the first; None if there is none.
            dims: axes of the image that it takes, if it does not say so itself.
        """
        if layer is None:
            return cls((4,))
        if isinstance(layer, Embedding):
            return cls((min(4, layer.rows),), layer.rows)
        if isinstance(layer, Conv):
            dims = layer.dims
        size = getattr(layer, "inputs", 0) or getattr(layer, "size", 0)
        edge = _EDGES[dims]
        while edge > 1 and size * edge**dims > _INLINE:
            edge //= 2
        return cls((size, *[edge] * dims))

    @property
    def is_inline(self) -> bool:
        """Whether it is small enough to be read in the case itself."""
        return math.prod(self.shape) <= _INLINE

    def values(self) -> Any:
        """Give the numbers: short, different, and exact in every dtype."""
        flat: list[Any] = [self._number(i) for i in range(math.prod(self.shape))]
        for length in reversed(self.shape[1:]):
            flat = [flat[i : i + length] for i in range(0, len(flat), length)]
        return flat

    def yaml(self) -> str:
        """Write it below a key: the last axis in a line, the others as a list."""
        return textwrap.indent("\n".join(_block(self.values())), " " * 4)

    def _number(self, index: int) -> float:
        return index % self.tokens if self.tokens else (index % 9 - 4) / 4


def _block(value: list[Any]) -> Iterator[str]:
    if not value or not isinstance(value[0], list):
        yield from textwrap.wrap(json.dumps(value), 80)
        return
    for item in value:
        first, *rest = _block(item)
        yield f"- {first}"
        yield from (f"  {line}" for line in rest)
