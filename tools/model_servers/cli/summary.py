"""``ms summary``: Markdown for the page of a pipeline's run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import flags, markdown, render, wire
from model_servers.cli.checks import checked
from model_servers.core.findings import Code, Finding
from model_servers.errors import ExitStatus
from model_servers.journeys import versions

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings

_OF_VERSIONS = (Code.INPUTS_CHANGED, Code.VERSION_FELL)


def add(commands: Commands) -> None:
    """Add the arguments of ``ms summary``."""
    command = flags.command(
        commands,
        "summary",
        summary,
        "write Markdown about models for the page of a pipeline",
    )
    flags.models(command, "*")
    command.add_argument(
        "--report",
        metavar="FILE",
        help="what ms test --json or --report wrote: tell of that, and nothing else",
    )
    command.add_argument(
        "--deleted",
        metavar="MODELS",
        default="",
        help="names of models that are there no more, with spaces between",
    )
    command.add_argument(
        "--import-code",
        action="store_true",
        help="tell also what ms validate finds by importing the models' code",
    )
    flags.base(
        command, "compare with the merge base of HEAD and REF, not with the store"
    )
    flags.registry(command)
    flags.store(command)


def summary(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Tell what a reviewer wants to know; whether it is good, others decide."""
    if options.report is not None:
        print(markdown.report(wire.reports(Path(options.report))))
        return ExitStatus.DONE
    print(markdown.bounded(_parts(options, settings)))
    return ExitStatus.DONE


def _parts(options: argparse.Namespace, settings: Settings) -> Iterator[str]:
    options.all = not options.models and not options.base
    names, findings = checked(options, settings, imports_code=options.import_code)
    yield f"## {render.count(len(names), 'model')}"
    yield markdown.findings(findings)
    for name in options.deleted.split():
        yield (
            f"{markdown.code(name)} is deleted. Its releases stay in the store, and a "
            "host serves it until its profile or a channel no longer names it."
        )
    sound = [name for name in names if not _is_wrong(name, findings, settings)]
    yield from _differences(sound, options, settings)


def _differences(
    names: list[str], options: argparse.Namespace, settings: Settings
) -> Iterator[str]:
    build = wire.build(settings)
    if options.base and names:
        with wire.history(settings, options.base, names) as past:
            for name in names:
                found = versions.against_base(build, name, past)
                yield markdown.difference(found, origin=past.origin)
    elif settings.store is not None:
        at = wire.store(settings.store, endpoint_url=settings.endpoint_url)
        for name in names:
            found = versions.against_releases(build, name, wire.releases(at))
            yield markdown.difference(found, origin=f"released in {at.address}")


def _is_wrong(name: str, findings: list[Finding], settings: Settings) -> bool:
    """Say whether a model cannot be compared; its version alone is no reason."""
    start = f"{settings.registry.name}/{name}"
    return any(
        finding.is_error
        and finding.code not in _OF_VERSIONS
        and f"{finding.path}/".startswith(f"{start}/")
        for finding in findings
    )
