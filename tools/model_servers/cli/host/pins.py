"""``ms sync rollback``, ``pin``, ``history``, ``boot``: what needs no store."""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.cli.host import report
from model_servers.cli.host.planned import show
from model_servers.cli.watch import say, watcher
from model_servers.core.guards import Override
from model_servers.core.names import Ref, Version
from model_servers.core.presentation import visible
from model_servers.errors import ExitStatus, RequestError
from model_servers.journeys.host.boot import write_boot
from model_servers.journeys.host.rollback import Rollback
from model_servers.journeys.host.status import Status

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands, Parser
    from model_servers.cli.settings import Settings


def add(group: Commands) -> None:
    """Add the arguments of the commands that need no store."""
    back = flags.command(
        group, "rollback", rollback, "let an older version answer; it stays on the disk"
    )
    flags.model(back)
    back.add_argument(
        "--to", metavar="VERSION", help="which; the one that answered before"
    )
    flags.allowance(back, Override.DOWNTIME)
    pinning = flags.command(
        group, "pin", pin, "have a model keep a version, whatever the profile says"
    )
    flags.model(pinning)
    pinning.add_argument("version", metavar="VERSION", help="a released version")
    loosening = flags.command(group, "unpin", unpin, "follow the profile again")
    flags.model(loosening)
    for command in (back, pinning, loosening):
        command.add_argument(
            "--why", metavar="TEXT", default="", help="for those who come after you"
        )
    telling = flags.command(group, "history", history, "show what was done here")
    telling.add_argument("model", metavar="MODEL", nargs="?", help="of one model only")
    flags.as_json(telling)
    booting = flags.command(
        group, "boot", boot, "write what TorchServe starts with; for its start script"
    )
    for command in (back, pinning, loosening, telling, booting):
        _add_host(command)


def _add_host(command: Parser) -> None:
    flags.profile(command)
    flags.store(command)


def rollback(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Let an older version answer, now, and keep it."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    to = None if options.to is None else _version(options.to)
    journey = Rollback(planning=wire.planning(profile, sync))
    with wire.model_store(profile).locked(), watcher() as console:
        found = journey.prepare(
            options.model,
            to,
            asked=profile.models.get(options.model),
            why=options.why,
            allow={Override.DOWNTIME} if options.allow_downtime else (),
        )
        show(found, server=sync.server.address, form="text")
        try:
            pinned = journey.run(found, console, why=options.why)
        finally:
            Status(planning=journey.planning).refresh()
    print(f"\n{options.model}@{pinned.version} is {pinned}")
    say(f"hint: ms sync unpin {options.model} follows the profile again")
    return ExitStatus.DONE


def pin(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Have a model keep a version from the next sync on."""
    profile = wire.profile(settings)
    diary = wire.diary(profile)
    ref = Ref(_wanted(options.model, profile.models), _version(options.version))
    with wire.model_store(profile).locked():
        pinned = diary.pin(ref, why=options.why)
        diary.note("pinned", ref.name, None, str(ref.version), why=options.why)
    print(f"{ref} is {pinned}")
    say("hint: ms sync apply makes it so")
    return ExitStatus.DONE


def unpin(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Follow the profile again from the next sync on."""
    profile = wire.profile(settings)
    diary = wire.diary(profile)
    with wire.model_store(profile).locked():
        memory = diary.memory.read()
        pins = diary.unpin(options.model, why=options.why)
        if not pins:
            others = sorted(memory.pins.keys() | memory.held_back.keys())
            raise RequestError(
                f"{options.model} is not pinned; {', '.join(others) or 'nothing'} is",
                hint="`ms sync status` shows what is",
            )
    what = "; ".join(f"{version or 'it'} was {pin}" for version, pin in pins)
    print(f"{options.model} follows the profile again; {what}")
    say("hint: ms sync plan shows what that changes")
    return ExitStatus.DONE


def history(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show who did what to this host, when and why."""
    events = [
        event
        for event in wire.diary(wire.profile(settings)).memory.events()
        if options.model in (None, event.model)
    ]
    if options.json:
        print(json.dumps([asdict(event) for event in events], indent=2))
    else:
        print(report.history_text(events, model=options.model))
    return ExitStatus.DONE


def boot(_: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Have TorchServe start with what it served, if it can be loaded."""
    profile = wire.profile(settings)
    memory = wire.diary(profile).memory
    left_out = write_boot(memory, wire.entry_check(profile))
    for ref, reason in left_out.items():
        say(f"note: {ref} is left out: {visible(reason)}")
    if left_out:
        say("hint: ms sync apply brings it back")
    kept = sum(len(versions) for versions in memory.read().served.values())
    print(f"TorchServe starts with {render.count(kept - len(left_out), 'version')}")
    return ExitStatus.DONE


def _version(text: str) -> Version:
    try:
        return Version.parse(text)
    except ValueError as error:
        raise RequestError(str(error), hint="such as 1.0.0") from error


def _wanted(name: str, models: Collection[str]) -> str:
    """Give a model's name if the profile has it."""
    if name in models:
        return name
    raise RequestError(
        f"the host profile does not ask for {name}",
        hint="add it to models:, or correct the name",
    )
