"""Figures and strangers' texts, as a page can show them."""

from __future__ import annotations

import re
from collections.abc import Mapping

_UNITS = ("mib", "gib", "kib", "bytes", "ms", "s")
_SPELLED = {"mib": "MiB", "gib": "GiB", "kib": "KiB"}
_CAPITALS = {"gpu": "GPU", "cpu": "CPU"}
_LAST_TWO = "".join(
    chr(plane * 0x10000 + end) for plane in range(17) for end in (0xFFFE, 0xFFFF)
)
_NO_TEXT = re.compile(
    f"[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff\\ufdd0-\\ufdef{_LAST_TWO}]"
)
"""Controls, halves of characters, and what Unicode says will never be one."""


def plain(text: str) -> str:
    r"""Leave out what is no character of HTML or XML; line feeds and tabs stay.

    >>> plain("a\x00b\x1b[1m\n")
    'ab[1m\n'
    """
    return _NO_TEXT.sub("", text)


def needs(resources: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """Tell resources whose names end in their units.

    >>> needs({"gpu_memory_mib": 256, "workers": 2})
    (('GPU memory', '256 MiB'), ('Workers', '2'))
    """
    return tuple(_need(name, resources[name]) for name in sorted(resources))


def _need(name: str, value: int) -> tuple[str, str]:
    words = plain(name).split("_")
    unit = words.pop() if len(words) > 1 and words[-1] in _UNITS else ""
    told = [_CAPITALS.get(word, word) for word in words]
    told[0] = told[0][:1].upper() + told[0][1:]
    return " ".join(told), f"{value:,} {_SPELLED.get(unit, unit)}".strip()
