"""``ms fetch``: released archives come out of the store."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.cli.watch import watcher
from model_servers.errors import ExitStatus

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings


def add(commands: Commands) -> None:
    """Add the arguments of ``ms fetch``."""
    command = flags.command(
        commands, "fetch", fetch, "bring a released archive here, verified"
    )
    command.add_argument(
        "ref", metavar="REF", help="NAME@VERSION, NAME@CHANNEL or NAME@latest"
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default="dist",
        help="where to; archives of the model that are there give the bytes that they"
        " share (%(default)s)",
    )
    flags.as_json(command)
    flags.store(command)


def fetch(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Bring one archive here, of what is not here yet."""
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url, is_new=False)
    with watcher() as console:
        fetched = wire.fetch(Path(options.output), at).run(options.ref, console)
    if options.json:
        print(json.dumps(render.fetched_mapping(fetched), indent=2))
    else:
        print(render.fetched_text(fetched))
    return ExitStatus.DONE
