"""``ms store``: what a store is worth."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from model_servers.cli import flags, wire
from model_servers.cli.doctor import show
from model_servers.journeys.store_doctor import examine

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.errors import ExitStatus


def add(commands: Commands) -> None:
    """Add the arguments of ``ms store doctor``."""
    group = flags.group(commands, "store", "look at a store")
    command = flags.command(
        group,
        "doctor",
        doctor,
        "find out what a store really enforces, by trying it",
    )
    flags.as_json(command)
    flags.store(command)


def doctor(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what the store enforces, what a release needs of it, and the fix."""
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url, is_new=False)
    return show(examine(at), as_json=options.json)
