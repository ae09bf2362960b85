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

    excepted_because: str = ""
    """The reason why ``model.yaml`` asks to overlook it; empty if it does not."""

    def __str__(self) -> str:
        place = ":".join(
            str(part) for part in (self.path, self.line, self.column) if part
        )
        where = f" {self.where}:" if self.where else ""
        hint = " hint:" if self.is_hint else ""
        return f"{place}:{where} {self.code.value}{hint} {self.message}"

    @property
    def is_error(self) -> bool:
        """Whether it must be mended; a hint and an exception need not be."""
        return self.code.severity is Severity.ERROR and not self.excepted_because

    @property
    def is_hint(self) -> bool:
        """Whether it is worth a look."""
        return self.code.severity is Severity.HINT and not self.excepted_because

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
