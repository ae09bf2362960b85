"""JSON values in a few words: what goes into a model and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_KEYS = 12
_MAX_DEPTH = 4
_WORDS = {str: "text", bool: "true or false", int: "integer", float: "number"}


def shape(value: Any, *, depth: int = 0) -> str:
    """Describe a JSON value.

    >>> shape([[0, 1.5], [2, 3]])
    'list of 2 x list of 2 x number'
    >>> shape({"class": "cat", "scores": [0.5, 0.5]})
    '{class: text, scores: list of 2 x number}'
    """
    if isinstance(value, Mapping):
        return "{...}" if depth >= _MAX_DEPTH else _object(value, depth)
    if isinstance(value, list):
        return "list" if depth >= _MAX_DEPTH or not value else _list(value, depth)
    return _WORDS.get(type(value), "null")


def _object(value: Mapping[str, Any], depth: int) -> str:
    keys = list(value)
    told = [f"{key}: {shape(value[key], depth=depth + 1)}" for key in keys[:_MAX_KEYS]]
    more = [f"{len(keys) - _MAX_KEYS} more"] if len(keys) > _MAX_KEYS else []
    return "{" + ", ".join([*told, *more]) + "}"


def _list(value: list[Any], depth: int) -> str:
    kinds = {shape(item, depth=depth + 1) for item in value}
    if len(kinds) > 1:  # integers among numbers are numbers, rows of them too
        kinds = {kind.replace("integer", "number") for kind in kinds}
    return f"list of {len(value)} x {kinds.pop() if len(kinds) == 1 else 'any'}"
