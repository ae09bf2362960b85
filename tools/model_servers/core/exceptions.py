"""Declared exceptions: findings that ``model.yaml`` asks to overlook until a day."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from model_servers.core.codes import Code, Severity
from model_servers.core.contribution import Contribution
from model_servers.core.findings import Finding

if TYPE_CHECKING:
    from typing_extensions import Self

_ERRORS_WITH_EXCEPTIONS = frozenset({Code.TWIN, Code.SHADOWED, Code.REQUIREMENTS})
"""They may be right for one model; what the others prevent is never right."""

_ABOUT_EXCEPTIONS = frozenset(
    {Code.NOT_EXCEPTED, Code.EXPIRED_EXCEPTION, Code.UNUSED_EXCEPTION}
)
_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")


def can_be_excepted(code: Code) -> bool:
    """Say whether a contributor may declare exceptions from a kind of finding.

    Hints may be, as they are advice. Errors may be only where they can be right
    for one model.
    """
    if code in _ABOUT_EXCEPTIONS:
        return False
    return code.severity is Severity.HINT or code in _ERRORS_WITH_EXCEPTIONS


@dataclass(frozen=True, kw_only=True)
class _Exception:
    """One item of ``exceptions:``."""

    code: str
    path: str | None
    reason: str
    until: str
    place: str

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any], place: str) -> Self:
        path = data.get("path")
        return cls(
            code=data["code"],
            path=path and posixpath.normpath(path),
            reason=data["reason"],
            until=data["until"],
            place=place,
        )

    def matches(self, finding: Finding, root: str) -> bool:
        if finding.code.value != self.code:
            return False
        path = f"{root}/{self.path}"
        return self.path is None or (f"{finding.path}/").startswith(f"{path}/")

    def has_expired(self, today: str) -> bool:
        return self.until < today  # the day itself is still allowed


def excepted(
    findings: Iterable[Finding], contribution: Contribution, *, today: str
) -> list[Finding]:
    """Mark the findings that are excepted, and add what is wrong with exceptions.

    Args:
        findings: everything else about the contribution.
        contribution: its ``model.yaml`` declares the exceptions.
        today: as ``YYYY-MM-DD``; empty if no exception has expired.
    """
    marked = list(findings)
    for exception in _declared(contribution):
        problem = _impossible(exception)
        matching = [one for one in marked if exception.matches(one, contribution.root)]
        if problem is None and exception.has_expired(today):
            problem = _expired(exception) if matching else None
        elif problem is None:
            marked = [
                replace(one, excepted_because=exception.reason)
                if one in matching
                else one
                for one in marked
            ]
        if problem is None and not matching:
            problem = _unused(exception)
        if problem is not None:
            code, message, fix = problem
            marked.append(
                contribution.finding(
                    code,
                    message,
                    document=contribution.model or "",
                    where=exception.place,
                    fix=fix,
                )
            )
    return marked


def _declared(contribution: Contribution) -> Iterator[_Exception]:
    if contribution.model is not None:
        for i, item in enumerate(contribution.model.data.get("exceptions", ())):
            yield _Exception.from_mapping(item, f"exceptions[{i}]")


_Problem = tuple[Code, str, str]


def _impossible(exception: _Exception) -> _Problem | None:
    known = {code.value: code for code in Code}
    if exception.code not in known:
        message = f"there is no kind of finding {exception.code}"
        return Code.NOT_EXCEPTED, message, "correct the code, or delete the exception"
    if not can_be_excepted(known[exception.code]):
        message = f"{exception.code} cannot be excepted"
        return (
            Code.NOT_EXCEPTED,
            message,
            f"see `ms validate --explain {exception.code}`",
        )
    if not _DAY.fullmatch(exception.until):
        message = f"until is {exception.until!r}, expected a day such as '2027-01-31'"
        return Code.NOT_EXCEPTED, message, "correct the day"
    return None


def _expired(exception: _Exception) -> _Problem:
    return (
        Code.EXPIRED_EXCEPTION,
        f"the exception from {exception.code} was allowed until {exception.until}",
        "mend what it was for, or have a review agree to a later day",
    )


def _unused(exception: _Exception) -> _Problem:
    where = f" in {exception.path!r}" if exception.path else ""
    return (
        Code.UNUSED_EXCEPTION,
        f"there is no finding {exception.code}{where}",
        "delete the exception",
    )
