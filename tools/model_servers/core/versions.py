"""Versions by content: which must be raised, to what, and why."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from model_servers.core.names import Version


class Part(Enum):
    """The number of a version that is raised."""

    MAJOR = 0
    MINOR = 1
    PATCH = 2


def next_version(
    version: Version, part: Part | None = None, *, taken: Collection[Version] = ()
) -> Version:
    """Raise a version above itself and above every one in *taken*.

    Args:
        version: what it is now.
        part: what to raise; the last number that is written if None.
        taken: versions that are released, in any order.

    >>> next_version(Version.parse("1.9")).text
    '1.10'
    >>> next_version(Version.parse("1.9"), Part.PATCH).text
    '1.9.1'
    >>> next_version(Version.parse("1.0.0"), taken=[Version.parse("1.0.4")]).text
    '1.0.5'
    """
    length = version.text.count(".") + 1
    numbers = max(one.numbers for one in (version, *taken))
    raised = part or (Part.MINOR if length == 2 else Part.PATCH)
    if raised is Part.PATCH:
        length = 3
    kept = numbers[: raised.value]
    rest = (0,) * (2 - raised.value)
    candidate = (*kept, numbers[raised.value] + 1, *rest)
    return Version.parse(".".join(map(str, candidate[:length])))
