"""``ms bump``, ``ms lock``, ``ms diff``: the versions of models."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from model_servers.cli import flags, render, wire
from model_servers.cli.model import findings_of
from model_servers.cli.watch import say
from model_servers.core.presentation import visible
from model_servers.core.versions import Change, Difference, Part
from model_servers.errors import ExitStatus, OutsideError, RequestError
from model_servers.journeys import bump as bumping
from model_servers.journeys import versions

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.core.names import Version


def add_lock(commands: Commands) -> None:
    """Add the arguments of ``ms lock``."""
    command = flags.command(
        commands,
        "lock",
        lock,
        "write down a model's checkpoint digest and exact versions of its requirements",
    )
    flags.model(command)
    command.add_argument(
        "--check",
        action="store_true",
        help="write nothing; end with status 1 if something would change",
    )
    flags.registry(command)


def add_bump(commands: Commands) -> None:
    """Add the arguments of ``ms bump``."""
    command = flags.command(
        commands,
        "bump",
        bump,
        "raise the version in a model's model.yaml",
    )
    flags.model(command)
    part = command.add_mutually_exclusive_group()
    for name in ("major", "minor", "patch"):
        part.add_argument(
            f"--{name}",
            dest="part",
            action="store_const",
            const=name,
            help=f"raise the {name} number (the last number)",
        )
    flags.registry(command)
    flags.store(command)


def add_diff(commands: Commands) -> None:
    """Add the arguments of ``ms diff``."""
    command = flags.command(
        commands,
        "diff",
        diff,
        "show what a release of a model would change",
    )
    flags.model(command)
    flags.base(
        command, "compare with the merge base of HEAD and REF, not with the store"
    )
    flags.as_json(command)
    flags.registry(command)
    flags.store(command)


def bump(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Raise the version of a model."""
    wire.registry(settings).read(options.model)  # which says what models there are
    part = Part[options.part.upper()] if options.part else None
    old, new = bumping.bump(
        wire.model_texts(settings),
        options.model,
        part=part,
        released=_released(options.model, settings),
    )
    print(f"{options.model} {old} -> {new}")
    return ExitStatus.DONE


def lock(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Write what a model is made of into its documents, or say what is missing."""
    journey = wire.lock(settings)
    journey.registry.read(options.model)  # which says what models there are
    edits = journey.plan(options.model)
    if not options.check:
        journey.apply(options.model, edits)
    for edit in edits:
        print(f"{options.model}/{edit.path}")
        print("\n".join(f"  {line}" for line in edit.summary))
    if not edits:
        print(f"{options.model} is locked")
    elif options.check:
        say(f"hint: ms lock {options.model}")
        return ExitStatus.FINDINGS
    return ExitStatus.DONE


def _released(name: str, settings: Settings) -> list[Version]:
    """List the released versions, as far as anybody can tell."""
    if settings.store is None:
        return []
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url, is_new=False)
    try:
        return wire.releases(at).versions(name)
    except OutsideError as error:
        say(f"note: released versions are not looked at: {error}")
        return []


def diff(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show what a release of a model would change."""
    if not options.base and settings.store is None:
        raise RequestError(
            "there is nothing to compare with",
            hint="add --base main, or --store s3://bucket/prefix",
        )
    _, findings = findings_of([options.model], settings)
    if findings:
        print(render.findings_text(findings, models=1))
        return ExitStatus.FINDINGS
    build = wire.build(settings)
    if options.base:
        with wire.history(settings, options.base, [options.model]) as past:
            found = versions.against_base(build, options.model, past)
            origin = past.origin
    else:
        at = wire.store(
            settings.store, endpoint_url=settings.endpoint_url, is_new=False
        )
        found = versions.against_releases(build, options.model, wire.releases(at))
        origin = f"released in {at.address}"
    if options.json:
        print(json.dumps(difference_mapping(found, origin=origin), indent=2))
    else:
        print(difference_text(found, origin=origin))
    return ExitStatus.DONE


def difference_text(found: Difference, *, origin: str) -> str:
    """Write a difference for a terminal: a line per member, and what to do."""
    now = found.now.ref
    then = None if found.then is None else found.then.ref
    if then is None:
        headline = f"{now.name} {now.version}  (no version is {origin})"
    elif then == now:
        headline = f"{now.name} {now.version}  ({origin})"
    else:
        headline = f"{now.name} {then.version} -> {now.version}  ({origin})"
    lines = [f"  {_change_text(change)}" for change in found.inputs]
    if found.handler:
        lines.append(f"  ~ the shared handler, {len(found.handler)} files")
    count = render.count(len(found.changes), "change")
    lines.append(f"{count}, {render.size(found.new_bytes)} new")
    if found.needs_bump:
        lines.append(f"the version must be raised: ms bump {now.name}")
    return "\n".join([headline, *lines])


def difference_mapping(found: Difference, *, origin: str) -> dict[str, Any]:
    """Give a difference as JSON values."""
    return {
        "name": found.now.ref.name,
        "origin": origin,
        "before": found.then and str(found.then.ref.version),
        "after": str(found.now.ref.version),
        "changes": [
            {
                "path": change.path,
                "before": change.before and asdict(change.before),
                "after": change.after and asdict(change.after),
            }
            for change in found.changes
        ],
        "new_bytes": found.new_bytes,
        "needs_bump": found.needs_bump,
    }


def _change_text(change: Change) -> str:
    sign = "+" if change.before is None else "-" if change.after is None else "~"
    pieces = [piece for piece in (change.before, change.after) if piece is not None]
    told = " -> ".join(
        f"{render.size(piece.size_bytes)} {piece.sha256[:12]}" for piece in pieces
    )
    return f"{sign} {visible(change.path)}  {told}"
