"""Turns values into text for people and programs. Pure; nothing here prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from model_servers.core import presentation

if TYPE_CHECKING:
    from model_servers.core.findings import Finding
    from model_servers.core.objects import Moved
    from model_servers.core.release import Release, ReleasePlan
    from model_servers.journeys.build import Built
    from model_servers.journeys.fetch import Fetched

_MAX_ANNOTATIONS = 10

size = presentation.size


def findings_text(findings: Sequence[Finding], *, models: int) -> str:
    """Write findings for a terminal: one per line, its fix below, and a count."""
    lines: list[str] = []
    for finding in _shown(findings):
        lines.append(str(finding))
        if finding.fix:
            lines.append(f"    fix: {finding.fix}")
    lines.append(f"{count(models, 'model')}: {_counts(findings)}")
    return "\n".join(lines)


def findings_github(findings: Sequence[Finding]) -> str:
    """Write findings as workflow commands, which GitHub shows in the files.

    Source: GitHub shows 10 errors and 10 notices of a step, and drops the others
        without a word.
    """
    shown = _shown(findings)
    errors = [finding for finding in shown if finding.is_error]
    hints = [finding for finding in shown if finding.is_hint]
    lines = [
        _annotation(finding)
        for some in (errors, hints)
        for finding in some[:_MAX_ANNOTATIONS]
    ]
    more = len(shown) - len(lines)
    if more:
        lines.append(
            f"{more} more of {_counts(findings)}: run `ms validate` to see them all"
        )
    return "\n".join(lines)


def findings_mapping(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Give findings as JSON values."""
    return [
        {
            "severity": finding.code.severity.value,
            "path": finding.path,
            "where": finding.where,
            "line": finding.line,
            "column": finding.column,
            "code": finding.code.value,
            "message": finding.message,
            "fix": finding.fix,
        }
        for finding in _shown(findings)
    ]


def built_text(built: Built) -> str:
    """Write one line about an archive."""
    archive = built.archive
    return f"{built.path}  {size(archive.size_bytes)}  {archive.sha256[:12]}"


def release_plan_text(plan: ReleasePlan, *, store: str) -> str:
    """Write what publishing would do."""
    lines = [f"  + {one.ref}" for one in plan.new]
    lines += [f"  = {one.ref}" for one in plan.unchanged]
    lines += [f"  ! {one.ref}  released with other inputs" for one in plan.conflicts]
    return "\n".join([f"{store}: {len(plan.new)} to release", *lines])


def release_plan_mapping(plan: ReleasePlan) -> dict[str, list[str]]:
    """Give a release plan as JSON values."""
    return {
        "new": [str(one.ref) for one in plan.new],
        "unchanged": [str(one.ref) for one in plan.unchanged],
        "conflicts": [str(one.ref) for one in plan.conflicts],
    }


def released_text(release: Release, moved: Moved) -> str:
    """Write one line about a release that has just been made."""
    archive = release.archive
    line = f"{release.ref}  {size(archive.size_bytes)}  {archive.sha256[:12]}"
    if not moved.copied_bytes:
        return line
    return (
        f"{line}  ({size(moved.sent_bytes)} sent, {size(moved.copied_bytes)} copied "
        "inside the store)"
    )


def fetched_text(fetched: Fetched) -> str:
    """Write one line about an archive that is here now."""
    archive = fetched.release.archive
    return (
        f"{fetched.path}  {size(archive.size_bytes)}  {archive.sha256[:12]}  "
        f"({size(fetched.fetched_bytes)} fetched)"
    )


def fetched_mapping(fetched: Fetched) -> dict[str, Any]:
    """Give an archive that is here now as JSON values."""
    return {
        "ref": str(fetched.release.ref),
        "path": str(fetched.path),
        "size": fetched.release.archive.size_bytes,
        "sha256": fetched.release.archive.sha256,
        "fetched_bytes": fetched.fetched_bytes,
    }


def table(rows: Sequence[Sequence[str]]) -> str:
    """Align columns; the first row is the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _shown(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.excepted_because]


def _counts(findings: Sequence[Finding]) -> str:
    """Count findings by what they do, such as ``2 findings, 1 hint``."""
    errors = sum(finding.is_error for finding in findings)
    hints = sum(finding.is_hint for finding in findings)
    excepted = len(findings) - errors - hints
    counts = [count(errors, "finding")]
    counts += [count(hints, "hint")] if hints else []
    counts += [f"{excepted} excepted"] if excepted else []
    return ", ".join(counts)


def count(number: int, thing: str) -> str:
    """Write a number of things.

    >>> count(0, "finding"), count(1, "hint"), count(2, "hint")
    ('no findings', '1 hint', '2 hints')
    """
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"


def _annotation(finding: Finding) -> str:
    place = {"file": finding.path, "line": finding.line, "col": finding.column}
    place["title"] = finding.code.value
    properties = ",".join(
        f"{key}={_escaped(str(value), also=':,')}"
        for key, value in place.items()
        if value is not None
    )
    text = f"{finding.where}: {finding.message}" if finding.where else finding.message
    fix = f"\nfix: {finding.fix}" if finding.fix else ""
    kind = "error" if finding.is_error else "notice"
    return f"::{kind} {properties}::{_escaped(text + fix)}"


def _escaped(text: str, *, also: str = "") -> str:
    """Escape as workflow commands demand; a message cannot end its own command."""
    for character in "%\r\n" + also:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
