"""``ms sync``: what an operator runs on a GPU host."""

from __future__ import annotations

import argparse
import json

from model_servers.cli import flags, render, wire
from model_servers.cli.flags import Commands
from model_servers.cli.settings import Settings
from model_servers.cli.watch import watcher
from model_servers.core.plan import Plan
from model_servers.errors import ExitStatus
from model_servers.journeys.sync import reviewed


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
    telling = flags.command(group, "status", status, "show what the host serves")
    for command in (planning, applying):
        command.add_argument(
            "--allow-empty",
            action="store_true",
            help="let the profile take every model off the host",
        )
    for command in (planning, applying, telling):
        flags.as_json(command)
        flags.profile(command)
        flags.store(command)


def plan(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what applying would do."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    found = sync.plan(sync.desired(profile.models), allow_empty=options.allow_empty)
    _show(found, server=sync.server.address, as_json=options.json)
    pending = options.exit_code and bool(found)
    return ExitStatus.PENDING if pending else ExitStatus.DONE


def apply(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Do what the reviewed plan says, or refuse."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    with wire.model_store(profile).locked(), watcher() as console:
        desired = sync.desired(profile.models)
        current = reviewed(
            sync.plan(desired, allow_empty=options.allow_empty), options.plan
        )
        _show(current, server=sync.server.address, as_json=options.json)
        sync.apply(current, desired, console)
    return ExitStatus.DONE


def status(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what the host serves."""
    sync = wire.sync(settings, wire.profile(settings))
    state = sync.observe()
    if options.json:
        print(json.dumps(render.status_mapping(state), indent=2))
    else:
        print(render.status_text(state, server=sync.server.address))
    return ExitStatus.DONE


def _show(found: Plan, *, server: str, as_json: bool) -> None:
    if as_json:
        plan_mapping = {"digest": found.digest, "changes": found.to_mapping()}
        print(json.dumps(plan_mapping, indent=2), flush=True)
    else:
        print(render.plan_text(found, server=server), flush=True)
