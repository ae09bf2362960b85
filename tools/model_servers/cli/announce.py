"""``ms announce``: tags and releases on GitHub."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.cli.model import findings_of
from model_servers.cli.watch import say
from model_servers.core.notes import tag
from model_servers.errors import ExitStatus

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings


def add(commands: Commands) -> None:
    """Add the arguments of ``ms announce``."""
    command = flags.command(
        commands,
        "announce",
        announce,
        "make tags and releases on GitHub of what is released",
    )
    flags.models(command, "*")
    command.add_argument(
        "--dry-run", action="store_true", help="show what would be announced"
    )
    flags.registry(command)
    flags.store(command)


def announce(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Tell GitHub of every version in the registry that is released."""
    names, findings = findings_of(options.models, settings)
    if findings:
        say(render.findings_text(findings, models=len(names)))
        return ExitStatus.FINDINGS
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url, is_new=False)
    journey = wire.announce(settings, at)
    build = wire.build(settings)
    refs = [build.recipe(name).spec.ref for name in names]
    done = journey.plan(refs) if options.dry_run else journey.run(refs)
    for release in done:
        print(f"{tag(release.ref)}  {release.archive.sha256[:12]}")
    if not done:
        print("nothing to announce")
    return ExitStatus.DONE
