"""``ms changed``: what a pipeline has to look at."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.cli.model import findings_of
from model_servers.cli.watch import say
from model_servers.core.presentation import visible
from model_servers.core.work import Work, hostile
from model_servers.errors import ExitStatus, RefusedError

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings


def add(commands: Commands) -> None:
    """Add the arguments of ``ms changed``."""
    command = flags.command(
        commands,
        "changed",
        changed,
        "list what a pipeline has to look at: models, in shares",
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--base",
        metavar="REF",
        help="what differs from the merge base of HEAD and REF",
    )
    what.add_argument("--all", action="store_true", help="every model")
    what.add_argument(
        "--unreleased", action="store_true", help="versions that the store lacks"
    )
    command.add_argument(
        "--format",
        choices=("text", "json", "github"),
        default="text",
        help="github writes outputs of a step",
    )
    flags.registry(command)
    flags.store(command)


def changed(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Say which models changed, or are not released yet."""
    if options.base:
        work = wire.work_since(settings, options.base)
    else:
        work = Work(models=tuple(wire.registry(settings).names()))
    reasons = hostile(work)
    if reasons:
        say("\n".join(f"ms: {reason}" for reason in reasons))
        say("hint: rename the directory")
        return ExitStatus.FINDINGS
    if options.unreleased:
        models, findings = findings_of(list(work.models), settings)
        if findings:
            say(render.findings_text(findings, models=len(models)))
            return ExitStatus.FINDINGS
        work = replace(work, models=_unreleased(models, settings))
    print(_told(work, options.format))
    return ExitStatus.DONE


def _unreleased(models: list[str], settings: Settings) -> tuple[str, ...]:
    """Pick the models whose version the store lacks."""
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url)
    journey = wire.publish(settings, at)
    plan = journey.plan([journey.build.recipe(name) for name in models])
    if plan.conflicts:
        refs = ", ".join(str(one.ref) for one in plan.conflicts)
        raise RefusedError(
            f"already released with other inputs: {refs}",
            hint="raise the version: "
            + ", ".join(f"ms bump {one.ref.name}" for one in plan.conflicts),
        )
    return tuple(sorted(one.ref.name for one in plan.new))


def _told(work: Work, form: str) -> str:
    if form == "github":
        return "\n".join(work.outputs())
    if form == "json":
        return json.dumps(
            {
                "models": work.models,
                "deleted": work.deleted,
                "tool": work.is_tool_changed,
                "shards": work.shards(),
            },
            indent=2,
        )
    lines = [*work.models, *(f"{name} (deleted)" for name in work.deleted)]
    return "\n".join(map(visible, lines)) or "no model"
