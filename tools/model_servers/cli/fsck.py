"""``ms fsck``: whether a store still holds what was released."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.cli.watch import watcher
from model_servers.core.presentation import visible
from model_servers.errors import ExitStatus

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.core.fsck import Report


def add(commands: Commands) -> None:
    """Add the arguments of ``ms fsck``."""
    command = flags.command(
        commands,
        "fsck",
        fsck,
        "hash everything in a store, check its channels, and make its index anew; "
        "interrupted, it goes on",
    )
    command.add_argument(
        "--sample",
        type=flags.positive,
        metavar="N",
        help="only N releases and checkpoints, those first that waited the longest",
    )
    flags.as_json(command)
    flags.work(command)
    flags.store(command)


def fsck(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what in the store is not what it should be."""
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url, is_new=False)
    with watcher() as console:
        report = wire.fsck(settings, at).run(console, sample=options.sample)
    if options.json:
        print(json.dumps({"store": at.address, **report.to_mapping()}, indent=2))
    else:
        print(report_text(report, store=at.address))
    return ExitStatus.FINDINGS if report.faults else ExitStatus.DONE


def report_text(report: Report, *, store: str) -> str:
    """Write what a check has found: a line per object."""
    lines = [f"  ! {visible(one.key)}: {visible(one.message)}" for one in report.faults]
    lines += [
        f"  ? {visible(one.key)}  {render.size(one.size_bytes)}, nothing refers to it"
        for one in report.orphans
    ]
    lines += [
        f"  ? {visible(one.key)}  left by a writer "
        + ("that is gone; ms publish takes it away" if one.is_abandoned else "at work")
        for one in report.leftovers
    ]
    if report.index_was_rebuilt:
        lines.append("  ~ index.json was made anew")
    lines += dict.fromkeys(one.fix for one in report.faults)
    left = f", {report.remaining} left out" if report.remaining else ""
    headline = (
        f"{store}: {report.checked} checked, {render.size(report.hashed_bytes)} hashed"
        f"{left}, {render.count(len(report.faults), 'fault')}"
    )
    return "\n".join([headline, *lines])
