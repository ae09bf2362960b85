"""``ms sync``: what an operator runs on a GPU host."""

from __future__ import annotations

import argparse
import json

from model_servers.cli import (
    flags,
    host_care,
    host_doctor,
    host_install,
    host_watch,
    render,
    wire,
)
from model_servers.cli.flags import Commands
from model_servers.cli.gpu_render import admission_mapping, admission_text
from model_servers.cli.planning import Planned, planned
from model_servers.cli.settings import Settings
from model_servers.cli.watch import watcher
from model_servers.core.presentation import visible
from model_servers.errors import ExitStatus
from model_servers.journeys.sync import Sync, reviewed


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
        flags.allowances(command)
    for command in (planning, applying, telling):
        flags.as_json(command)
        flags.profile(command)
        flags.store(command)
    host_care.add(group)
    host_doctor.add(group)
    host_watch.add(group)
    host_install.add(group)


def plan(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what applying would do."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    found = planned(options, settings, profile, sync)
    _show(found, sync, as_json=options.json)
    pending = options.exit_code and bool(found.plan)
    return ExitStatus.PENDING if pending else ExitStatus.DONE


def apply(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Do what the reviewed plan says, or refuse."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    with wire.model_store(profile).locked(), watcher() as console:
        found = planned(options, settings, profile, sync)
        reviewed(found.plan, options.plan)
        _show(found, sync, as_json=options.json)
        sync.apply(found.plan, found.desired, console)
    found.check_refused()
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


def _show(found: Planned, sync: Sync, *, as_json: bool) -> None:
    notices = sync.notices(found.desired)
    if as_json:
        plan_mapping = {
            "digest": found.plan.digest,
            "changes": found.plan.to_mapping(),
            "notices": {str(ref): one.to_mapping() for ref, one in notices.items()},
            "gpus": admission_mapping(found.admission),
        }
        print(json.dumps(plan_mapping, indent=2), flush=True)
        return
    print(render.plan_text(found.plan, server=sync.server.address), flush=True)
    about_gpus = admission_text(found.admission)
    if about_gpus:
        print(f"\n{about_gpus}", flush=True)
    for ref, notice in notices.items():
        print(f"note: {ref} is {visible(str(notice))}", flush=True)
