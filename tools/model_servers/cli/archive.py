"""``ms archive``: the guide's build script, for models outside the registry."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from model_servers.cli import render, wire
from model_servers.cli.settings import Settings
from model_servers.core.names import Version
from model_servers.errors import ExitStatus, RequestError
from model_servers.journeys import archive as journey

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What the official archiver takes; a registry is stricter."""


def archive(options: argparse.Namespace, _: Settings) -> ExitStatus:
    """Write ``<model_name>.mar`` from files that are in no registry."""
    _check_words(options)
    registry = wire.loose_files(options)
    found = journey.findings(registry, options.model_name)
    if found:
        print(render.findings_text(found, models=1))
        return ExitStatus.FINDINGS
    build = wire.build_from(registry)
    built = journey.write(build, options.model_name, Path(options.output))
    print(render.built_text(built))
    return ExitStatus.DONE


def _check_words(options: argparse.Namespace) -> None:
    name = options.model_name
    if _NAME.fullmatch(name) is None or name.startswith("token"):
        raise RequestError(
            f"--model_name {name!r} cannot name a model in TorchServe",
            hint="use letters, digits, _, - and .; do not begin with 'token'",
        )
    try:
        Version.parse(options.version)
    except ValueError as error:
        raise RequestError(
            f"--version: {error}", hint="write a version such as 1.0 or 1.0.0"
        ) from error
