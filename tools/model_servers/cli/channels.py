"""``ms promote``, ``ms channels``: where the channels of a store point to."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from model_servers.cli import flags, render, wire
from model_servers.cli.lifecycle import noted_mapping, noted_text
from model_servers.cli.watch import say
from model_servers.core.channels import CHANNELS_FILE, Move
from model_servers.core.names import Ref, Version
from model_servers.errors import ExitStatus, RequestError
from model_servers.journeys import promote as promoting
from model_servers.journeys.channels import wanted_channels
from model_servers.journeys.lifecycle import Lifecycle, said_of_versions

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings


def add_promote(commands: Commands) -> None:
    """Add the arguments of ``ms promote``."""
    command = flags.command(
        commands,
        "promote",
        promote,
        "write into channels.yaml where a channel points to",
    )
    for name, text in (
        ("model", "the model"),
        ("version", "a released version"),
        ("channel", "such as stable; made if it is new"),
    ):
        command.add_argument(name, metavar=name.upper(), help=text)
    flags.registry(command)
    flags.store(command)


def add_channels(commands: Commands) -> None:
    """Add the arguments of ``ms channels publish``."""
    group = flags.group(commands, "channels", "movable names of released versions")
    command = flags.command(
        group,
        "publish",
        publish,
        "let a store say what channels.yaml and lifecycle.yaml say",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="show what would be moved"
    )
    command.add_argument(
        "--prune",
        action="store_true",
        help="take models out of channels that the registry does not have any more",
    )
    flags.as_json(command)
    flags.registry(command)
    flags.store(command)


def promote(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Let a channel point to another version, in the checkout."""
    model = wire.registry(settings).read(options.model)
    ref = _ref(options)
    if settings.store is None:
        say(f"note: without --store nobody knows whether {ref} is released")
    else:
        at = wire.store(
            settings.store, endpoint_url=settings.endpoint_url, is_new=False
        )
        wire.channels(at).refuse_bad([ref])
    old = promoting.promote(
        wire.model_texts(settings),
        ref,
        options.channel,
        is_new=CHANNELS_FILE not in model.files,
    )
    if old == ref.version.text:
        print(f"{ref.name} {options.channel} points to {old} already")
        return ExitStatus.DONE
    print(f"{ref.name} {options.channel} {old or 'nowhere'} -> {ref.version}")
    say("hint: ms channels publish moves it in the store, once this is on main")
    return ExitStatus.DONE


def _ref(options: argparse.Namespace) -> Ref:
    try:
        return Ref(options.model, Version.parse(options.version))
    except ValueError as error:
        raise RequestError(
            str(error), hint="ms promote MODEL VERSION CHANNEL"
        ) from error


def publish(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Move channels and tell of versions, if nothing is wrong with what models say."""
    registry = wire.registry(settings)
    models = [registry.read(name) for name in registry.names()]
    wanted, findings = wanted_channels(models)
    said, more = said_of_versions(models)
    findings += more
    if findings:
        say(render.findings_text(findings, models=len(wanted)))
        return ExitStatus.FINDINGS
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url)
    journey = replace(wire.channels(at), said=said)
    lifecycle = Lifecycle(catalog=journey.catalog)
    # Warnings first: they must arrive also where a channel cannot move.
    noted = (lifecycle.plan if options.dry_run else lifecycle.publish)(said)
    run = journey.plan if options.dry_run else journey.publish
    moves = run(wanted, prune=options.prune)
    if options.json:
        found = {"channels": moves_mapping(moves), "notices": noted_mapping(noted)}
        print(json.dumps(found, indent=2))
    else:
        print(moves_text(moves, store=at.address, is_done=not options.dry_run))
        if noted:
            print(f"\n{noted_text(noted)}")
    return ExitStatus.DONE


def moves_text(moves: Sequence[Move], *, store: str, is_done: bool) -> str:
    """Write what becomes of channels: a line each, its models below it."""
    count = len(moves) or "nothing"
    lines = [f"{store}: {count} {'moved' if is_done else 'to move'}"]
    for one in moves:
        lines += ["", f"  {one.after.channel}  generation {one.after.generation}"]
        lines += [
            f"      {name} {before or 'nowhere'} -> {after or 'nowhere'}"
            for name, (before, after) in one.changed.items()
        ]
    return "\n".join(lines)


def moves_mapping(moves: Sequence[Move]) -> list[dict[str, Any]]:
    """Give what becomes of channels as JSON values."""
    return [
        {
            "channel": one.after.channel,
            "generation": one.after.generation,
            "models": {
                name: {
                    "before": None if before is None else str(before),
                    "after": None if after is None else str(after),
                }
                for name, (before, after) in one.changed.items()
            },
        }
        for one in moves
    ]
