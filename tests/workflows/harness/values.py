"""The values of GitHub's expressions, and how one kind is taken for another.

Source: https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

Value = Any
"""None, bool, int or float, str, list, or a mapping with texts as keys."""

_NUMBER = re.compile(
    r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|0x[0-9a-fA-F]+|0o[0-7]+"
    r"|[-+]?Infinity|NaN"
)


class Filtered(list[Value]):
    """What ``.*`` gives: looking into it looks into each of its items."""


def truthy(value: Value) -> bool:
    """Say what a value counts as in a condition."""
    if isinstance(value, float) and math.isnan(value):
        return False
    if isinstance(value, list | Mapping):
        return True
    return bool(value)


def to_text(value: Value) -> str:
    """Write a value where a text is wanted."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number_text(float(value))
        case str():
            return value
        case list():
            return "Array"
        case _:
            return "Object"


def to_number(value: Value) -> float:
    """Take a value for a number; NaN if it is none."""
    match value:
        case None:
            return 0.0
        case bool() | int() | float():
            return float(value)
        case str():
            return parse_number(value.strip()) if value.strip() else 0.0
        case _:
            return math.nan


def parse_number(text: str) -> float:
    """Read a number as expressions write it; NaN if it is none."""
    if _NUMBER.fullmatch(text) is None:
        return math.nan
    if text[:2] in ("0x", "0o"):
        return float(int(text, 0))
    return float(text)


def equal(left: Value, right: Value) -> bool:
    """Compare loosely: texts without case, other kinds as numbers."""
    if isinstance(left, str) and isinstance(right, str):
        return left.lower() == right.lower()
    if _kind(left) == _kind(right):
        return left is right if _kind(left) == "collection" else left == right
    return to_number(left) == to_number(right)


def compare(left: Value, right: Value) -> int | None:
    """Give -1, 0 or 1, or None where the two have no order."""
    if isinstance(left, str) and isinstance(right, str):
        a, b = left.lower(), right.lower()
        return (a > b) - (a < b)
    first, second = to_number(left), to_number(right)
    if math.isnan(first) or math.isnan(second):
        return None
    return (first > second) - (first < second)


def look_up(value: Value, key: Value) -> Value:
    """Give a property or an item; None if there is none."""
    if isinstance(value, Filtered):
        found = (look_up(item, key) for item in value)
        return Filtered(item for item in found if item is not None)
    if isinstance(value, Mapping):
        wanted = to_text(key).lower()
        return next((v for k, v in value.items() if k.lower() == wanted), None)
    if isinstance(value, list):
        index = to_number(key)
        is_there = index == index // 1 and 0 <= index < len(value)
        return value[int(index)] if is_there else None
    return None


def every(value: Value) -> Filtered:
    """Give what ``.*`` stands for."""
    if isinstance(value, Filtered):
        return Filtered(item for one in value for item in every(one))
    if isinstance(value, Mapping):
        return Filtered(value.values())
    return Filtered(value if isinstance(value, list) else ())


def to_json(value: Value) -> str:
    """Write JSON as ``toJSON`` does."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False)


def _plain(value: Value) -> Value:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _number_text(number: float) -> str:
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    return (
        f"{number:.15g}".replace("e+", "E+").replace("e-", "E-").replace("nan", "NaN")
    )


def _kind(value: Value) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case _:
            return "collection"
