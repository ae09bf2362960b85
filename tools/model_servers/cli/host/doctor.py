"""``ms sync doctor``: whether this host can serve what it should."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from model_servers.cli import flags, wire
from model_servers.cli.doctor import show
from model_servers.core.host_doctor import check

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.errors import ExitStatus


def add(group: Commands) -> None:
    """Add its arguments."""
    command = flags.command(
        group, "doctor", doctor, "check this host and its TorchServe, with the fixes"
    )
    flags.as_json(command)
    flags.profile(command)
    flags.store(command)


def doctor(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what was found, what is expected, and how to mend it."""
    facts = wire.look_at_host(settings, wire.profile(settings)).run()
    return show(check(facts), as_json=options.json)
