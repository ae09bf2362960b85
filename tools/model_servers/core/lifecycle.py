"""What is said of released versions afterwards: that they are yanked or deprecated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from model_servers.core.names import Version

if TYPE_CHECKING:
    from typing_extensions import Self

LIFECYCLE_FILE = "lifecycle.yaml"
"""Beside ``model.yaml``; it never goes into an archive."""


class State(Enum):
    """What is said of a released version."""

    YANKED = "yanked"
    """It must not be used: no channel may point to it, and it is never latest."""

    DEPRECATED = "deprecated"
    """It works, and there is something better."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What is said of one version, why, and since when."""

    state: State
    reason: str
    date: str
    """YYYY-MM-DD."""

    replacement: Version | None = None

    def __str__(self) -> str:
        instead = f"; use {self.replacement}" if self.replacement else ""
        return f"{self.state.value} on {self.date}: {self.reason}{instead}"

    @property
    def is_yanked(self) -> bool:
        """Whether the version must not be used."""
        return self.state is State.YANKED

    def to_mapping(self) -> dict[str, Any]:
        """Give JSON values; ``from_mapping`` of them gives this notice again."""
        mapping = {"state": self.state.value, "reason": self.reason, "date": self.date}
        if self.replacement is None:
            return mapping
        return {**mapping, "replacement": str(self.replacement)}

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read the notice of one version."""
        replacement = data.get("replacement")
        return cls(
            state=State(data["state"]),
            reason=data["reason"],
            date=data["date"],
            replacement=None if replacement is None else Version.parse(replacement),
        )


def notices(data: Mapping[str, Any]) -> dict[Version, Notice]:
    """Read a document that ``lifecycle.schema.json`` has accepted."""
    return {
        Version.parse(version): Notice.from_mapping(notice)
        for version, notice in data["versions"].items()
    }
