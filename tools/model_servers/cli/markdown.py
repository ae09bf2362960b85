"""Writes Markdown for the page of a pipeline's run. Pure; nothing here prints.

Names, paths and messages are a stranger's: they stand in code spans, where nothing
is a link, an image or HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model_servers.cli import render
from model_servers.core.presentation import visible

if TYPE_CHECKING:
    from model_servers.core.findings import Finding
    from model_servers.core.versions import Change, Difference

MAX_BYTES = 900_000
"""GitHub drops a step's whole summary above 1 MiB.

Source: https://docs.github.com/en/actions/reference/limits
"""

_MAX_CHANGES = 50


def code(text: str) -> str:
    r"""Write a text as it is, whatever is in it, also inside a table.

    >>> code("a|b"), code("x`y")
    ('`a\\|b`', '``x`y``')
    """
    shown = visible(text).replace("|", "\\|") or " "
    fence = "`"
    while fence in shown:
        fence += "`"
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; the cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bounded(parts: Iterable[str]) -> str:
    """Join parts as long as GitHub shows them, and say how many are left out."""
    found, size, left = [], 0, 0
    for part in parts:
        size += len(part.encode()) + 2
        if size > MAX_BYTES:
            left += 1
        else:
            found.append(part)
    if left:
        found.append(f"{render.count(left, 'more part')}; run `ms summary` to see them")
    return "\n\n".join(found)


def findings(found: Sequence[Finding]) -> str:
    """Write findings, each with its fix."""
    shown = [one for one in found if not one.excepted_because]
    if not shown:
        return "Nothing is wrong."
    rows = [
        [
            f"{'hint ' if one.is_hint else ''}{one.code.value}",
            code(f"{one.path}:{one.line}" if one.line else one.path),
            code(f"{one.where}: {one.message}" if one.where else one.message),
            code(one.fix) if one.fix else "",
        ]
        for one in shown
    ]
    return table(["", "where", "what", "fix"], rows)


def difference(found: Difference, *, origin: str) -> str:
    """Write what a version changes, and what a host fetches for it."""
    name, then, now = found.now.ref.name, found.then, found.now.ref.version
    if then is None:
        headline = f"### {code(name)} {now}, new: no version is {origin}"
    elif then.ref.version == now:
        headline = f"### {code(name)} {now}, {origin}"
    else:
        headline = f"### {code(name)} {then.ref.version} → {now}, {origin}"
    parts = [headline]
    if found.needs_bump:
        names = ", ".join(code(one.path) for one in found.inputs[:_MAX_CHANGES])
        why = names or "files of `build:`"
        parts.append(f"The version must be raised, for {why}: `ms bump {name}`")
    if found.inputs:
        rows = [_change(one) for one in found.inputs[:_MAX_CHANGES]]
        parts.append(table(["", "member", "before", "after"], rows))
    more = len(found.inputs) - _MAX_CHANGES
    if more > 0:
        parts.append(f"and {more} more")
    if found.handler and then is not None:
        parts.append(f"The shared handler changed: {len(found.handler)} files.")
    whose = "the one before" if then is not None else "none of it"
    parts.append(
        f"A host that has {whose} fetches {render.size(found.new_bytes)}"
        f" of {render.size(_size(found))}."
    )
    return "\n\n".join(parts)


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write what ``ms test`` found and measured."""
    header = [
        "model",
        "golden requests",
        "ready after",
        "p50",
        "p95",
        "memory",
        "bytes",
    ]
    parts = [table(header, map(_measured, rows))]
    for row in rows:
        parts += [_case(row, case) for case in row["cases"] if not case["reproduces"]]
        if row["error"]:
            fix = f" Fix: {code(row['fix'])}." if row["fix"] else ""
            parts.append(f"{code(row['model'])}: {code(row['error'])}.{fix}")
    return "\n\n".join(parts)


def _change(change: Change) -> list[str]:
    sign = "+" if change.before is None else "-" if change.after is None else "~"
    cells = [
        "" if piece is None else f"{render.size(piece.size_bytes)} {piece.sha256[:12]}"
        for piece in (change.before, change.after)
    ]
    return [sign, code(change.path), *cells]


def _size(found: Difference) -> int:
    return sum(piece.size_bytes for piece in found.now.members.values())


def _measured(row: Mapping[str, Any]) -> list[str]:
    name = f"{code(row['model'])} {row['version']}"
    size = f"{render.size(row['archive_bytes'])} {row['archive_sha256'][:12]}"
    wrong = sum(not case["reproduces"] for case in row["cases"])
    count = len(row["cases"])
    measured = row["measured"]
    if measured is None:
        return [name, "**not asked**", "", "", "", "", size]
    latency, memory = measured["latency_ms"], measured["memory_mib"]
    return [
        name,
        f"**{wrong} of {count} wrong**" if wrong else f"reproduces {count}",
        f"{measured['load_s']:.1f} s",
        f"{latency['p50']:.1f} ms",
        f"{latency['p95']:.1f} ms",
        "" if memory is None else f"{memory} MiB",
        size,
    ]


def _case(row: Mapping[str, Any], case: Mapping[str, Any]) -> str:
    first = case["first_difference"] or "no answer that can be decoded"
    bound = case["tolerance"]
    return (
        f"{code(row['model'])}, {code(case['case'])} on {row['device']}: {code(first)}"
        f" (tolerance {bound['absolute']} absolute, {bound['relative']} relative)."
        f" Fix: correct the model; if the new answer is right:"
        f" {code('ms golden ' + row['model'] + ' --update')}."
    )
