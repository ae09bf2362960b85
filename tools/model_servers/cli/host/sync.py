"""``ms sync``: what an operator runs on a GPU host."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from model_servers.cli import flags, wire
from model_servers.cli.host import care, doctor, install, pins, report, watch
from model_servers.cli.host.events import events
from model_servers.cli.host.planned import show, tell_refused
from model_servers.cli.watch import say, watcher
from model_servers.errors import ExitStatus
from model_servers.journeys.host.status import Status
from model_servers.journeys.host.sync import reviewed

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands, Parser
    from model_servers.cli.settings import Settings


def add(commands: Commands) -> None:
    """Add the arguments of ``ms sync``."""
    group = flags.group(commands, "sync", "make this host serve what its profile asks")
    planning = flags.command(
        group,
        "plan",
        plan,
        "show what applying would do; touches nothing",
    )
    planning.add_argument(
        "--exit-code",
        action="store_true",
        help="end with status 5 if there is something to do",
    )
    applying = flags.command(group, "apply", apply, "do what the plan says")
    consent = applying.add_mutually_exclusive_group(required=True)
    consent.add_argument("--plan", metavar="DIGEST", help="the plan you reviewed")
    consent.add_argument("--yes", action="store_true", help="whatever the plan is")
    applying.add_argument(
        "--events", metavar="FILE", help="add what happens to a file, as JSON lines"
    )
    for command in (planning, applying):
        _add_plan(command)
    telling = flags.command(
        group, "status", status, "show what the host serves, and whether it should"
    )
    telling.add_argument(
        "--ready",
        action="store_true",
        help="ask every model its golden requests, write the readiness file, and end"
        " with status 3 unless all of them answer",
    )
    for command in (planning, applying, telling):
        flags.as_json(command)
        flags.profile(command)
        flags.store(command)
    care.add(group)
    doctor.add(group)
    watch.add(group)
    install.add(group)
    pins.add(group)


def _add_plan(command: Parser) -> None:
    command.add_argument(
        "--format",
        choices=["text", "json", "markdown"],
        default="text",
        help="of the plan (%(default)s); --json is short for json",
    )
    flags.allowances(command)


def plan(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what applying would do."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    planning = wire.planning(profile, sync)
    found = planning.run(profile.models, allow=flags.allowed(options))
    show(found, server=sync.server.address, form=_form(options))
    if found.plan.refused():
        return tell_refused(found.plan)
    pending = options.exit_code and bool(found.plan)
    return ExitStatus.PENDING if pending else ExitStatus.DONE


def apply(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Do what the reviewed plan says, or refuse."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    planning = wire.planning(profile, sync)
    with (
        wire.model_store(profile).locked(),
        watcher() as console,
        events(console, options.events, wire.now) as told,
    ):
        found = planning.run(profile.models, allow=flags.allowed(options))
        reviewed(found.plan, options.plan)
        show(found, server=sync.server.address, form=_form(options))
        try:
            sync.apply(found.plan, found.resolved, told)
        finally:
            Status(planning=planning).refresh()
    return tell_refused(found.plan) if found.plan.refused() else ExitStatus.DONE


def status(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what the host serves, and whether it should and can."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    planning = wire.planning(profile, sync)
    found = Status(planning=planning).run(profile.models, ask=options.ready)
    state = sync.observe()
    if options.json:
        print(json.dumps(report.status_mapping(found, state), indent=2))
    else:
        print(report.status_text(found, state, server=sync.server.address))
    if not found.is_healthy:
        say("hint: `ms sync doctor` looks at everything, `ms sync apply` repairs")
    elif not found.is_in_sync and not found.store_error:
        say("hint: `ms sync plan` shows what would be done")
    is_green = found.is_healthy or not options.ready
    return ExitStatus.DONE if is_green else ExitStatus.OUTSIDE


def _form(options: argparse.Namespace) -> str:
    return "json" if options.json else str(options.format)
