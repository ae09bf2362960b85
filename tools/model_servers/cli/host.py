"""``ms sync``: what an operator runs on a GPU host."""

from __future__ import annotations

import argparse
import json

from model_servers.cli import flags, render, wire
from model_servers.cli.flags import Commands
from model_servers.cli.gpu_render import admission_mapping, admission_text
from model_servers.cli.settings import Settings
from model_servers.cli.watch import watcher
from model_servers.core.admission import Admission
from model_servers.core.host import Desired
from model_servers.core.plan import Plan
from model_servers.core.presentation import visible
from model_servers.core.profile import HostProfile
from model_servers.errors import ExitStatus, RefusedError
from model_servers.journeys.admission import admitted
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
        command.add_argument(
            "--allow-empty",
            action="store_true",
            help="let the profile take every model off the host",
        )
        command.add_argument(
            "--allow-downtime",
            action="store_true",
            help="let models be silent whose two versions do not fit on the GPUs",
        )
    for command in (planning, applying, telling):
        flags.as_json(command)
        flags.profile(command)
        flags.store(command)


def plan(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what applying would do."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    desired = sync.desired(profile.models)
    found, admission = planned(options, settings, profile, sync, desired)
    _show(found, admission, sync, desired, as_json=options.json)
    pending = options.exit_code and bool(found)
    return ExitStatus.PENDING if pending else ExitStatus.DONE


def apply(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Do what the reviewed plan says, or refuse."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    with wire.model_store(profile).locked(), watcher() as console:
        desired = sync.desired(profile.models)
        found, admission = planned(options, settings, profile, sync, desired)
        current = reviewed(found, options.plan)
        _show(current, admission, sync, desired, as_json=options.json)
        sync.apply(current, desired, console)
    check_refused(admission)
    return ExitStatus.DONE


def planned(
    options: argparse.Namespace,
    settings: Settings,
    profile: HostProfile,
    sync: Sync,
    desired: Desired,
) -> tuple[Plan, Admission]:
    """Give the plan as the GPUs of this host allow it."""
    found = sync.plan(desired, allow_empty=options.allow_empty)
    admission = wire.admit(settings, profile).run(
        found,
        desired,
        sync.observe,
        allow_downtime=options.allow_downtime,
    )
    return admitted(found, admission), admission


def check_refused(admission: Admission) -> None:
    """End as refused if a model was, once the others are done.

    Raises:
        RefusedError: it names the models, and how to go on with the first.
    """
    refused = admission.refused
    if refused:
        first = next(iter(refused.values()))
        raise RefusedError(
            "; ".join(f"{name}: {one.reason}" for name, one in refused.items()),
            hint=first.hint,
        )


def status(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what the host serves."""
    sync = wire.sync(settings, wire.profile(settings))
    state = sync.observe()
    if options.json:
        print(json.dumps(render.status_mapping(state), indent=2))
    else:
        print(render.status_text(state, server=sync.server.address))
    return ExitStatus.DONE


def _show(
    found: Plan, admission: Admission, sync: Sync, desired: Desired, *, as_json: bool
) -> None:
    notices = sync.notices(desired)
    if as_json:
        plan_mapping = {
            "digest": found.digest,
            "changes": found.to_mapping(),
            "notices": {str(ref): one.to_mapping() for ref, one in notices.items()},
            "gpus": admission_mapping(admission),
        }
        print(json.dumps(plan_mapping, indent=2), flush=True)
        return
    print(render.plan_text(found, server=sync.server.address), flush=True)
    about_gpus = admission_text(admission)
    if about_gpus:
        print(f"\n{about_gpus}", flush=True)
    for ref, notice in notices.items():
        print(f"note: {ref} is {visible(str(notice))}", flush=True)
