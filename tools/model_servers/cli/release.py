"""``ms publish``: what a release runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_servers.cli import expect, flags, render, wire
from model_servers.cli.model import findings_of
from model_servers.cli.watch import say, watcher
from model_servers.core.presentation import visible
from model_servers.core.verdicts import Verdict
from model_servers.errors import ExitStatus, RequestError

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.core.release import Release


def add(commands: Commands) -> None:
    """Add the arguments of ``ms publish``."""
    command = flags.command(
        commands,
        "publish",
        publish,
        "release every version that the store does not have",
    )
    flags.models(command, "*")
    command.add_argument(
        "--mar",
        metavar="FILE",
        help="release this archive of torch-model-archiver as it is, and no model",
    )
    command.add_argument(
        "--dry-run", action="store_true", help="show what would be released"
    )
    expect.flag(command)
    command.add_argument(
        "--report",
        metavar="FILE",
        action="append",
        default=[],
        help="what ms test has reported of these models, to be part of their releases;"
        " a folder stands for the reports in it; can be repeated",
    )
    flags.as_json(command)
    flags.registry(command)
    flags.store(command)


def publish(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Release what the store lacks, if nothing is wrong with any of the models."""
    if options.mar is not None:
        return _publish_given(options, settings)
    names, findings = findings_of(options.models, settings)
    if findings:
        say(render.findings_text(findings, models=len(names)))
        return ExitStatus.FINDINGS
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url)
    journey = wire.publish(settings, at)
    journey = replace(
        journey,
        build=expect.as_asked(journey.build, options.expect),
        verdicts=_verdicts(options.report),
    )
    recipes = [journey.build.recipe(name) for name in names]
    if options.dry_run:
        plan = journey.plan(recipes)
    else:
        with watcher() as console:
            plan = journey.run(recipes, console)
    if plan.new and journey.build.registry.commit() is None:
        say(
            "note: no commit has the registry as it is, so its releases name none;"
            " `ms rebuild` has only the checkout to make them from"
        )
    if options.json:
        print(json.dumps(render.release_plan_mapping(plan), indent=2))
    elif options.dry_run:
        print(render.release_plan_text(plan, store=at.address))
    else:
        print(
            f"{at.address}: {len(plan.new)} released, {len(plan.unchanged)} unchanged"
        )
    return ExitStatus.REFUSED if plan.conflicts else ExitStatus.DONE


def _verdicts(files: Iterable[str]) -> tuple[Verdict, ...]:
    return tuple(
        Verdict.from_mapping(report)
        for file in files
        for report in wire.reports(Path(file))
    )


def _publish_given(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Release an archive that others have made."""
    if options.models:
        raise RequestError(
            "--mar releases an archive, and models are named too",
            hint="leave out --mar, or the names",
        )
    if options.report:
        raise RequestError(
            "--report tells of models of the registry, and --mar releases none",
            hint="leave out --report",
        )
    path = Path(options.mar)
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url)
    given = wire.given_archive(path)
    journey = wire.publish_given(at)
    release, is_there = journey.plan(given)
    if not options.dry_run:
        content = wire.hashed_content(path, given.archive.sha256)
        with watcher() as console:
            journey.run(given, content, console)
    if options.json:
        found = {
            "ref": str(release.ref),
            "new": not is_there,
            "members": _rows(release),
        }
        print(json.dumps(found, indent=2))
        return ExitStatus.DONE
    done = "unchanged" if is_there else "to release" if options.dry_run else "released"
    print(f"{at.address}: {release.ref} {done}")
    for row in _rows(release):
        print(f"  {visible(row['path'])}  {render.size(row['size'])}")
    return ExitStatus.DONE


def _rows(release: Release) -> list[dict[str, Any]]:
    return [
        {"path": one.path, "size": one.length, "sha256": one.sha256}
        for one in release.archive.members
    ]
