"""``ms mirror``: releases in another store, such as a folder behind an air gap."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.cli.watch import watcher
from model_servers.errors import ExitStatus

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.journeys.mirror import MirrorPlan


def add(commands: Commands) -> None:
    """Add the arguments of ``ms mirror``."""
    command = flags.command(
        commands,
        "mirror",
        mirror,
        "copy releases into another store, verified; what is there is never replaced",
    )
    command.add_argument(
        "refs",
        metavar="MODEL[@VERSION]",
        nargs="*",
        help="releases, or models with all theirs; everything if none is given",
    )
    command.add_argument(
        "--to",
        metavar="URL",
        required=True,
        help="the other store: file:///folder or s3://bucket/prefix",
    )
    command.add_argument(
        "--to-endpoint-url", metavar="URL", help="of the other store's server"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="show what would be copied"
    )
    flags.as_json(command)
    flags.work(command)
    flags.store(command)


def mirror(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Copy what the other store lacks."""
    source = wire.store(
        settings.store, endpoint_url=settings.endpoint_url, is_new=False
    )
    target = wire.store(options.to, endpoint_url=options.to_endpoint_url, flag="--to")
    journey = wire.mirror(settings, source, target)
    refs = journey.chosen(options.refs)
    if options.dry_run:
        plan = journey.plan(refs)
    else:
        with watcher() as console:
            plan = journey.run(refs, console)
    if options.json:
        print(json.dumps(_mapping(plan), indent=2))
    elif options.dry_run:
        print(_text(plan, target=target.address))
    else:
        print(f"{target.address}: {len(plan.new)} copied, {len(plan.there)} there")
    return ExitStatus.REFUSED if plan.conflicts else ExitStatus.DONE


def _text(plan: MirrorPlan, *, target: str) -> str:
    """Write what mirroring would do."""
    lines = [
        f"  + {one.ref}  {render.size(one.archive.size_bytes)}" for one in plan.new
    ]
    lines += [f"  = {one.ref}" for one in plan.there]
    lines += [f"  ! {one.ref}  released with other bytes" for one in plan.conflicts]
    return "\n".join([f"{target}: {len(plan.new)} to copy", *lines])


def _mapping(plan: MirrorPlan) -> dict[str, list[str]]:
    return {
        "new": [str(one.ref) for one in plan.new],
        "there": [str(one.ref) for one in plan.there],
        "conflicts": [str(one.ref) for one in plan.conflicts],
    }
