"""``ms doctor``: whether this machine can do what an author needs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.core.doctor import Check, State, check
from model_servers.errors import ExitStatus

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings


def add(commands: Commands) -> None:
    """Add the arguments of ``ms doctor``."""
    command = flags.command(
        commands,
        "doctor",
        doctor,
        "check that this machine can test and serve models",
    )
    flags.as_json(command)
    flags.registry(command)
    flags.work(command)


def doctor(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what was found, what is expected, and how to mend it."""
    return show(check(wire.machine(settings)), as_json=options.json)


def show(checks: Sequence[Check], *, as_json: bool) -> ExitStatus:
    """Print checks, and say whether one of them is a problem."""
    if as_json:
        print(json.dumps(checks_mapping(checks), indent=2))
    else:
        print(checks_text(checks))
    has_problem = any(one.state is State.PROBLEM for one in checks)
    return ExitStatus.FINDINGS if has_problem else ExitStatus.DONE


def checks_text(checks: Sequence[Check]) -> str:
    """Write a line per check, its fix below, and what it comes to."""
    rows = render.table(
        [
            [one.state.value, one.name, one.found]
            if one.state is State.OK
            else [one.state.value, one.name, f"{one.found}; expected {one.expected}"]
            for one in checks
        ]
    )
    lines: list[str] = []
    for row, one in zip(rows.splitlines(), checks, strict=True):
        lines += [row, f"    fix: {one.fix}"] if one.fix else [row]
    counts = [sum(one.state is state for one in checks) for state in State]
    return "\n".join([*lines, "", _summary(*counts)])


def checks_mapping(checks: Sequence[Check]) -> list[dict[str, str]]:
    """Give checks as JSON values."""
    return [
        {
            "name": one.name,
            "state": one.state.value,
            "found": one.found,
            "expected": one.expected,
            "fix": one.fix,
        }
        for one in checks
    ]


def _summary(ok: int, warnings: int, problems: int) -> str:
    return (
        f"{ok} ok, {warnings or 'no'} warning{'' if warnings == 1 else 's'}, "
        f"{problems or 'no'} problem{'' if problems == 1 else 's'}"
    )
