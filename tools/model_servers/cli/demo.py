"""``ms demo``: the main job, from a model directory to an answered prediction."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, trial
from model_servers.cli.model import findings_of
from model_servers.cli.watch import say
from model_servers.errors import ExitStatus

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings


def add(commands: Commands) -> None:
    """Add the arguments of ``ms demo``."""
    command = flags.command(
        commands,
        "demo",
        demo,
        "the whole way: validate, build, publish, serve and ask every model",
    )
    flags.registry(command)
    flags.torchserve(command)


def demo(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Take every model of the registry the whole way and show how each did."""
    names, findings = findings_of([], settings)
    say(render.findings_text(findings, models=len(names)))
    if findings:
        return ExitStatus.FINDINGS
    report = trial.run(names, options, settings)
    print(report.to_text())
    return ExitStatus.DONE if report.passed else ExitStatus.FINDINGS
