"""Compares what arrived in a store with what was sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from model_servers.core.objects import Part
from model_servers.ports import Content

_END_BYTES = 16 * 2**10
_ENDS_MAX = 16


def differs(
    read_range: Callable[[int, int], bytes], content: Content, parts: Sequence[Part]
) -> bool:
    """Read the ends of up to 16 parts and say whether one is not as in *content*.

    A part that is missing, short, in another place, or copied from another object
    than intended shows at its end. Bytes that changed on their way do not: the
    signature of each request covers those. All bytes are verified by every reader.

    Args:
        read_range: gives bytes of the object, by offset and length.
        content: what it should be.
        parts: what the object was made of.
    """
    ends = _ends(parts)
    chosen = {ends[len(ends) * i // _ENDS_MAX] for i in range(_ENDS_MAX)} | {ends[-1]}
    return any(
        read_range(start, end - start) != content.read(start, end - start)
        for start, end in sorted(chosen)
    )


def _ends(parts: Sequence[Part]) -> list[tuple[int, int]]:
    """Give the last bytes of each part, as offsets in the object."""
    ends, done = [], 0
    for part in parts:
        done += part.length
        ends.append((done - min(_END_BYTES, part.length), done))
    return ends
