"""Figures and strangers' texts, as a page can show them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from model_servers.core.presentation import size
from model_servers.core.verdicts import Passed

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


def figures(test: Passed) -> tuple[tuple[str, str], ...]:
    """Tell what was measured in a test."""
    told = [
        ("Loaded in", f"{test.load_s:.1f} s"),
        ("Latency, median", f"{test.p50_ms:.1f} ms"),
        ("Latency, 95th percentile", f"{test.p95_ms:.1f} ms"),
    ]
    if test.memory_mib is not None:
        told.append(("Memory of its workers", size(test.memory_mib * 2**20)))
    return tuple(told)


def verdict(test: Passed) -> str:
    """Tell how a test went; a version that failed one is not released."""
    count = len(test.golden)
    answers = "golden answer" if count == 1 else "golden answers"
    where = _CAPITALS.get(test.device, test.device)
    return f"{count} {answers} as expected on a {where}"


def _need(name: str, value: int) -> tuple[str, str]:
    words = plain(name).split("_")
    unit = words.pop() if len(words) > 1 and words[-1] in _UNITS else ""
    told = [_CAPITALS.get(word, word) for word in words]
    told[0] = told[0][:1].upper() + told[0][1:]
    return " ".join(told), f"{value:,} {_SPELLED.get(unit, unit)}".strip()
