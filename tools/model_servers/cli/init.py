"""``ms init``: a new model's directory."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import flags, wire
from model_servers.cli.watch import say
from model_servers.core.scaffold.documents import Order
from model_servers.errors import ExitStatus

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.journeys.init import Made

_NOBODY = "@your-account"
"""Stands in model.yaml where git knows no user."""


def add(commands: Commands) -> None:
    """Add the arguments of ``ms init``."""
    command = flags.command(
        commands,
        "init",
        init,
        "make a new model that validates and serves at once",
    )
    command.add_argument("name", metavar="NAME", help="of the model and its directory")
    start = command.add_mutually_exclusive_group()
    start.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="a .pt, .pth or .safetensors file, which is copied; its tensors tell the"
        " network",
    )
    start.add_argument(
        "--from-example", metavar="MODEL", help="copy this model of the registry"
    )
    command.add_argument("--summary", metavar="TEXT", help="what the model does")
    command.add_argument("--license", metavar="ID", help="an SPDX expression")
    command.add_argument(
        "--maintainer",
        action="append",
        metavar="@ACCOUNT",
        help="who answers for the model; can be repeated (git's user)",
    )
    flags.registry(command)


def init(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Make a model that validates and serves at once, and name the next commands."""
    found = wire.maintainer(settings)
    order = Order(
        name=options.name,
        summary=options.summary,
        license=options.license,
        maintainers=tuple(options.maintainer or [found or _NOBODY]),
    )
    journey = wire.init(settings)
    if options.checkpoint is not None:
        made = journey.from_checkpoint(order, Path(options.checkpoint))
    elif options.from_example is not None:
        made = journey.from_example(order, options.from_example)
    else:
        made = journey.plain(order)
    if order.maintainers == (_NOBODY,):
        say("note: model.yaml: git has no user.email; write who answers for the model")
    for note in made.notes:
        say(f"note: {note}")
    print(made_text(made, settings.registry))
    return ExitStatus.DONE


def made_text(made: Made, registry: Path) -> str:
    """Write what was made and the commands that come next."""
    is_usual = registry == Path("registry")
    elsewhere = "" if is_usual else f" --registry {shlex.quote(str(registry))}"
    commands = [
        *([f"ms golden {made.name} --update"] if made.must_be_recorded else []),
        f"ms validate {made.name}",
        f"ms test {made.name}",
        f"ms serve {made.name}",
    ]
    lines = [f"{registry / made.name}"]
    lines += [f"  {path}" for path in made.files]
    lines += ["", "next:", *(f"  {command}{elsewhere}" for command in commands)]
    return "\n".join(lines)
