"""What a host keeps on its disk, and what may go."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from model_servers.core.names import Ref

KEEP = 2
"""Versions of a model that stay for rollback, beside those that are needed."""

RESUMABLE_S = 24 * 3600.0
"""So long after its last byte an interrupted fetch may still be gone on with."""


class Kind(Enum):
    """What it is that may go; the texts are for people."""

    VERSION = "version"
    TREE = "tree without a version"
    ENTRY = "entry in the other layout"
    PARTIAL = "partial download"
    REQUIREMENTS = "requirements of no version"
    TEMP = "TorchServe's temp"


@dataclass(frozen=True, kw_only=True)
class Prunable:
    """Something on the disk that nobody needs."""

    kind: Kind
    what: str
    """The version, or the path."""

    size_bytes: int
    """What its going makes free; files that others have too do not count."""

    ref: Ref | None = None


def beyond_keep(
    installed: Mapping[Ref, float], needed: Collection[Ref], *, keep: int = KEEP
) -> list[Ref]:
    """Give the versions that no rollback will want: all but the latest to come here.

    Args:
        installed: when each version came to this host.
        needed: what is served, wanted or pinned; it stays, and is not counted.
        keep: how many others of each model stay.
    """
    spare = sorted(
        (ref for ref in installed if ref not in needed),
        key=lambda ref: (ref.name, -installed[ref], ref),
    )
    return [
        ref
        for _, refs in groupby(spare, key=lambda ref: ref.name)
        for ref in list(refs)[keep:]
    ]
