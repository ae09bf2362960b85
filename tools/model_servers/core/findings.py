"""What is wrong in a contribution: findings, each with a stable code."""

from __future__ import annotations

from dataclasses import dataclass

from model_servers.core.codes import Code, Severity

__all__ = ["Code", "Finding", "Severity"]


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
        hint = "" if self.is_error else " hint:"
        return f"{place}:{where} {self.code.value}{hint} {self.message}"

    @property
    def is_error(self) -> bool:
        """Whether it must be mended; a hint need not be."""
        return self.code.severity is Severity.ERROR

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
