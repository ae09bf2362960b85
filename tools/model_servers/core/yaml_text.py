"""Small edits of YAML as text: comments, quotes, order and line ends stay.

Each function gives a new text. Whoever calls it reads the text again and compares:
what is written in an unusual way is then refused, and never silently damaged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Places = Mapping[str, tuple[int, int]]
"""Line and column, from 1, of every key: ``build.extra_files[2]`` and so on."""

_KEY = r"""(?:"[^"\n]*"|'[^'\n]*'|[^\s"'][^:\n]*?)\s*:[ \t]+"""
_DOUBLE, _SINGLE = r'"(?:[^"\\\n]|\\.)*"', r"'(?:[^'\n]|'')*'"
_PLAIN = r"""[^\s"'&*!|>%@`{}\[\],#](?:[^\s,{}\[\]#:]|[:#](?=\S)|[ \t]+(?=[^\s#]))*"""
_PAIR = re.compile(rf"({_KEY})({_DOUBLE}|{_SINGLE}|{_PLAIN})")


def with_scalar(text: str, places: Places, place: str, value: str | int) -> str:
    """Give *text* with another scalar at *place*, quoted as the one before.

    Raises:
        ValueError: what stands there is no scalar in one line.
    """
    start = _offset(text, places[place])
    found = _PAIR.match(text, start)
    if found is None:
        raise ValueError(f"{place} is not written in one line")
    key, old = found.groups()
    quote = old[0] if old[0] in "\"'" else ""
    return f"{text[:start]}{key}{quote}{value}{quote}{text[found.end() :]}"


def with_key(text: str, places: Places, mapping: str, line: tuple[str, str]) -> str:
    """Give *text* with one more key in the mapping at the place *mapping*.

    Args:
        text: of the document.
        places: of its keys.
        mapping: has at least one key already.
        line: the key, and its value as YAML writes it.
    """
    inside = [place for place in places if _parent(place) == mapping]
    if not inside:
        raise ValueError(f"{mapping} has no keys")
    written = f"{line[0]}: {line[1]}"
    start = _offset(text, places[inside[-1]])
    row_start = _row_start(text, start)
    indent = text[row_start:start]
    if indent.strip():  # {in: one, line: of text}
        return f"{text[:start]}{written}, {text[start:]}"
    row_end = _row_end(text, start)
    end = _line_end(text)
    before = text[:row_end]
    before += "" if before.endswith(("\n", "\r")) else end
    return f"{before}{indent}{written}{end}{text[row_end:]}"


def with_block(text: str, key: str, lines: Iterable[tuple[str, str]]) -> str:
    """Give *text* with a block at its end: a key and, indented, what it holds."""
    end = _line_end(text)
    before = text if text.endswith(("\n", "\r")) or not text else text + end
    body = "".join(f"  {name}: {value}{end}" for name, value in lines)
    return f"{before}{key}:{end}{body}"


def _parent(place: str) -> str:
    return place.rpartition(".")[0]


def _offset(text: str, position: tuple[int, int]) -> int:
    """Say where a line and column are; lines end where YAML ends them."""
    line, column = position
    rows = text.splitlines(keepends=True)
    return sum(len(row) for row in rows[: line - 1]) + column - 1


def _row_start(text: str, offset: int) -> int:
    return max(text.rfind(end, 0, offset) for end in "\r\n") + 1


def _row_end(text: str, offset: int) -> int:
    """Say where the next line begins."""
    found = text.find("\n", offset)
    return len(text) if found < 0 else found + 1


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
