"""Figures and strangers' texts, as a page can show them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

_UNITS = ("mib", "gib", "kib", "bytes", "ms", "s")
_SPELLED = {"mib": "MiB", "gib": "GiB", "kib": "KiB"}
_CAPITALS = {"gpu": "GPU", "cpu": "CPU"}
_KEPT = {"\t", "\n"}
_NO_TEXT = {"Cc", "Cs", "Cn", "Co"}


def plain(text: str) -> str:
    r"""Leave out what is no character of HTML or XML; line feeds and tabs stay.

    >>> plain("a\x00b\x1b[1m\n")
    'ab[1m\n'
    """
    if text.isprintable():
        return text
    return "".join(
        character
        for character in text
        if character in _KEPT or unicodedata.category(character) not in _NO_TEXT
    )


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
