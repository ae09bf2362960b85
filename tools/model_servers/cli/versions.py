"""``ms bump``, ``ms lock``, ``ms diff``: the versions of models."""

from __future__ import annotations

import argparse

from model_servers.cli import wire
from model_servers.cli.settings import Settings
from model_servers.cli.watch import say
from model_servers.core.names import Version
from model_servers.core.versions import Part
from model_servers.errors import ExitStatus, OutsideError
from model_servers.journeys import bump as bumping


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
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url)
    try:
        return wire.releases(at).versions(name)
    except OutsideError as error:
        say(f"note: released versions are not looked at: {error}")
        return []
