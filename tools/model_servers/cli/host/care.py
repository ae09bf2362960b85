"""``ms sync verify`` and ``ms sync prune``: what a host has on its disk."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.cli.watch import say, watcher
from model_servers.core.host import Refusal, wanted_releases
from model_servers.core.names import Ref, Version
from model_servers.core.presentation import visible
from model_servers.errors import ExitStatus, OutsideError

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.core.profile import HostProfile
    from model_servers.core.pruning import Prunable
    from model_servers.journeys.host.sync import Sync
    from model_servers.journeys.host.verify import Report


def add(group: Commands) -> None:
    """Add the arguments of both."""
    verifying = flags.command(
        group, "verify", verify, "hash what this host has unpacked; mend what rotted"
    )
    verifying.add_argument(
        "--check", action="store_true", help="only look; mend nothing"
    )
    pruning = flags.command(
        group, "prune", prune, "show what this host does not need on its disk"
    )
    pruning.add_argument("--yes", action="store_true", help="take it away")
    pruning.add_argument(
        "--keep",
        type=_not_negative,
        metavar="N",
        help="versions of each model for rollback, beside those served (policy.keep)",
    )
    pruning.add_argument(
        "--temp",
        type=Path,
        metavar="DIR",
        help="TorchServe's temp, where it does not run; otherwise that is seen",
    )
    for command in (verifying, pruning):
        flags.as_json(command)
        flags.profile(command)
        flags.store(command)


def verify(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Hash every tree, and mend what is not as it was released."""
    profile = wire.profile(settings)
    with wire.model_store(profile).locked(), watcher() as console:
        report = wire.verify(settings, profile).run(console, heal=not options.check)
    if options.json:
        print(json.dumps(report.to_mapping(), indent=2))
    else:
        print(verify_text(report))
    if not report.unmended:
        return ExitStatus.DONE
    return ExitStatus.FINDINGS if options.check else ExitStatus.OUTSIDE


def verify_text(report: Report) -> str:
    """Write what was found: a line per tree that was not as it was released."""
    lines = [
        (
            f"{render.count(report.checked, 'tree')} hashed, "
            f"{render.size(report.hashed_bytes)}; {len(report.rots) or 'none'} rotten"
        )
    ]
    for rot in report.rots:
        members = ", ".join(visible(path) for path in rot.members)
        if not rot.error:
            fetched = render.size(rot.fetched_bytes)
            lines.append(f"  ~ {rot.ref}: {members} mended, {fetched} fetched")
            continue
        lines.append(f"  ! {rot.ref}: {members}: {visible(rot.error)}")
        if rot.hint:
            lines.append(f"      hint: {rot.hint}")
    if any(not rot.error for rot in report.rots):
        lines.append("ms sync apply asks what was mended its golden requests again")
    return "\n".join(lines)


def prune(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what is not needed, and take it away if that is agreed to."""
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    with wire.model_store(profile).locked():
        journey = wire.prune(profile, temp=options.temp)
        wanted, unsure = _wanted(sync, profile)
        keep = profile.policy.keep if options.keep is None else options.keep
        found = journey.find(sync.observe(), wanted, unsure=unsure, keep=keep)
        if options.yes:
            journey.remove(found)
    if options.json:
        print(json.dumps(_prunable_mapping(found, done=options.yes), indent=2))
    else:
        print(prune_text(found, done=options.yes))
    return ExitStatus.DONE


def prune_text(found: list[Prunable], *, done: bool) -> str:
    """Write what goes, or would: a line for each."""
    if not found:
        return "nothing to prune"
    lines = [
        f"  - {one.kind.value}: {visible(one.what)}  {render.size(one.size_bytes)}"
        for one in found
    ]
    total = render.size(sum(one.size_bytes for one in found))
    headline = f"{total} freed" if done else f"{total} would be freed"
    ending = [] if done else ["add --yes to take them away"]
    return "\n".join([headline, *lines, *ending])


def _wanted(sync: Sync, profile: HostProfile) -> tuple[list[Ref], list[str]]:
    """Name what must stay: what is pinned, served at the start, and asked for.

    What the profile asks for is known only if the store says what that means; the
    models of which it does not are named too.
    """
    memory = sync.diary.memory.read()
    kept = [Ref(name, pin.version) for name, pin in memory.pins.items() if pin.version]
    for name, versions in memory.served.items():
        kept += [Ref(name, Version.parse(version)) for version in versions]
    try:
        desired = sync.resolved(profile.models).desired
    except OutsideError as error:
        say(f"note: what the profile asks for is not known: {error}")
        return kept, list(profile.models)
    unsure = []
    for name, one in desired.items():
        if isinstance(one, Refusal):
            say(f"note: what the profile asks for of {name} is not known: {one.reason}")
            unsure.append(name)
    return [*kept, *wanted_releases(desired)], unsure


def _prunable_mapping(found: list[Prunable], *, done: bool) -> dict[str, object]:
    return {
        "removed": done,
        "size_bytes": sum(one.size_bytes for one in found),
        "found": [
            {"kind": one.kind.value, "what": one.what, "size_bytes": one.size_bytes}
            for one in found
        ],
    }


def _not_negative(text: str) -> int:
    number = flags.whole(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return number
