"""What is wrong in a contribution: findings, each with a stable code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Code(Enum):
    """Every kind of finding. A code never changes its meaning."""

    UNREADABLE = "MS001"
    """The document cannot be read as YAML."""

    SHAPE = "MS002"
    """A key is missing, unknown, or has a value of the wrong kind."""

    TOO_NEW = "MS003"
    """The document was written for a newer model-servers."""

    NAME = "MS010"
    """The model's name is not allowed, or is not its directory's name."""

    MISSING_FILE = "MS020"
    """A file that a document names does not exist."""

    OUTSIDE_MODEL = "MS021"
    """A path leaves the model's directory, directly or through a link."""

    COLLISION = "MS022"
    """Two files would have the same place in the archive."""

    EXTRA_FILES = "MS023"
    """``system.extraFiles`` and ``build.extra_files`` do not agree."""

    NO_HANDLER = "MS030"
    """The model file makes no handler."""

    REQUIREMENTS = "MS040"
    """A requirement is one that the serving environment brings."""

    CHECKPOINT = "MS050"
    """The checkpoint is not the one that ``model.yaml`` declares."""

    GOLDEN = "MS060"
    """The model has no golden case, or a case cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, where it is, and how to mend it."""

    path: str
    """The file, relative to the registry's checkout."""

    where: str = ""
    """The place inside the document, like ``build.extra_files[2]``."""

    line: int | None = None
    column: int | None = None
    code: Code
    message: str
    """The thing, what was found, what was expected."""

    fix: str = ""
    """What to change, or the next command to type."""

    def __str__(self) -> str:
        place = ":".join(
            str(part) for part in (self.path, self.line, self.column) if part
        )
        where = f" {self.where}:" if self.where else ""
        return f"{place}:{where} {self.code.value} {self.message}"

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        """Findings are shown by file, then by place."""
        return (
            self.path,
            self.line or 0,
            self.column or 0,
            self.code.value,
            self.message,
        )
