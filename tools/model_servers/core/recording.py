"""Answers as YAML, and their place in the text of a golden case. Pure text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_WIDTH = 88
_PLAIN_TEXT = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
"""Bare words that some reader of YAML takes for something else."""

_AFTER = ("tolerance",)
"""Keys of a case before which an answer that was not there is put."""


def with_answer(
    text: str, answer: Any, *, places: Mapping[str, tuple[int, int]]
) -> str:
    """Put *answer* below ``expect:`` in the text of a case; the rest stays.

    Args:
        text: of the case.
        answer: as JSON values.
        places: line and column of each key, counted from 1.

    Raises:
        ValueError: the keys do not begin lines, so that no line can be replaced.
    """
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    top = {key: places[key] for key in _TOP if key in places}
    if any(column != 1 for _, column in top.values()):
        raise ValueError("its keys do not begin lines; write one key per line")
    start, end = _span({key: line for key, (line, _) in top.items()}, lines)
    lines[start:end] = ["expect:", *_entry("  ", "json", answer)]
    return end_of_line.join([*lines, ""])


def as_entry(key: str, value: Any, *, indent: str = "") -> str:
    """Write ``key: value`` as YAML that a person can read, in one or more lines."""
    return "\n".join(_entry(indent, key, value))


_TOP = ("schema", "request", "expect", "tolerance")


def _span(top: Mapping[str, int], lines: list[str]) -> tuple[int, int]:
    """Give the lines of the old answer; an empty span where there is none.

    Comments and empty lines before the next key belong to that key.
    """
    if "expect" in top:
        start = top["expect"] - 1
        after = [line - 1 for line in top.values() if line - 1 > start]
        end = min(after, default=len(lines))
        return start, _without_notes(lines, end, at_least=start + 1)
    end = min((top[key] - 1 for key in _AFTER if key in top), default=len(lines))
    end = _without_notes(lines, end, at_least=0)
    return end, end


def _without_notes(lines: list[str], end: int, *, at_least: int) -> int:
    while end > at_least and (not lines[end - 1].strip() or lines[end - 1][0] == "#"):
        end -= 1
    return end


def _entry(indent: str, key: str, value: Any) -> Iterator[str]:
    """Yield the lines of one key of a block mapping."""
    head = f"{indent}{_text(key)}:"
    if isinstance(value, dict) and value:
        yield head
        for name, inner in value.items():
            yield from _entry(f"{indent}  ", name, inner)
    elif isinstance(value, list) and not _is_flat(value):
        yield head
        yield from _items(f"{indent}  ", value)
    else:
        yield from _flow(f"{head} ", f"{indent}  ", value)


def _items(indent: str, values: list[Any]) -> Iterator[str]:
    """Yield the lines of a block sequence."""
    for value in values:
        inner = f"{indent}  "
        if isinstance(value, list) and not _is_flat(value):
            lines = _items(inner, value)
        elif isinstance(value, dict) and value:
            lines = (
                line for name, one in value.items() for line in _entry(inner, name, one)
            )
        else:
            lines = _flow(inner, f"{inner}  ", value)
        for number, line in enumerate(lines):
            yield f"{indent}- {line[len(inner) :]}" if number == 0 else line


def _flow(head: str, indent: str, value: Any) -> Iterator[str]:
    """Yield a scalar or a list of scalars after *head*, in lines of bounded width."""
    if not isinstance(value, list):
        yield f"{head}{_scalar(value)}"
        return
    line = f"{head}["
    for number, one in enumerate(value):
        item = _scalar(one) + ("," if number + 1 < len(value) else "")
        if number and len(line) + 1 + len(item) >= _WIDTH:
            yield line
            line = f"{indent}{item}"
        else:
            line += f" {item}" if number else item
    yield f"{line}]"


def _is_flat(values: list[Any]) -> bool:
    return not any(
        isinstance(value, list) or (value and isinstance(value, dict))
        for value in values
    )


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    text = json.dumps(value)
    mantissa, exponent, digits = text.partition("e")
    if isinstance(value, float) and exponent and "." not in mantissa:
        return f"{mantissa}.0e{digits}"  # 1e-05 is text in YAML
    return text


def _text(value: str) -> str:
    if _PLAIN_TEXT.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(
        char if char.isprintable() else f"\\U{ord(char):08x}" for char in quoted
    )
