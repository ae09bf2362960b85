"""The legs of a job's matrix."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from workflows.harness.documents import DocumentError

MAX_LEGS = 256
"""Source: https://docs.github.com/en/actions/reference/limits"""


def legs(matrix: Any) -> list[dict[str, Any]]:
    """Expand a matrix whose expressions are values already.

    Raises:
        DocumentError: GitHub would refuse it: empty, too large, or no lists.
    """
    if not isinstance(matrix, Mapping):
        raise DocumentError(f"the matrix is {matrix!r}, expected a mapping")
    axes = {key: values for key, values in matrix.items() if key not in _RULES}
    for key, values in axes.items():
        if not isinstance(values, list):
            raise DocumentError(f"matrix.{key} is {values!r}, expected a list")
        if not values:
            raise DocumentError(f"matrix vector {key!r} does not contain any values")
    excluded = matrix.get("exclude", [])
    found = [leg for leg in _product(axes) if not any(_has(leg, e) for e in excluded)]
    found = _included(found, axes, matrix.get("include", []))
    if not found:
        raise DocumentError("the matrix has no legs")
    if len(found) > MAX_LEGS:
        raise DocumentError(f"the matrix has {len(found)} legs, more than {MAX_LEGS}")
    return found


_RULES = ("include", "exclude")


def _product(axes: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    if not axes:
        return []
    return [
        dict(zip(axes, values, strict=True))
        for values in itertools.product(*axes.values())
    ]


def _included(
    found: list[dict[str, Any]],
    axes: Mapping[str, Any],
    include: list[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Add to each leg what does not change it; what fits none is a leg of its own."""
    extended = [dict(leg) for leg in found]
    own: list[dict[str, Any]] = []
    for entry in include:
        pinned = {key: value for key, value in entry.items() if key in axes}
        fitting = [
            extended[i] for i, leg in enumerate(found) if found and _has(leg, pinned)
        ]
        for leg in fitting:
            leg.update(entry)
        if not fitting:
            own.append(dict(entry))
    return extended + own


def _has(leg: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(key in leg and leg[key] == value for key, value in wanted.items())
