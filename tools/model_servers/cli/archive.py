"""``ms archive``: the guide's build script, for models outside the registry."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.core.names import Version
from model_servers.errors import ExitStatus, RequestError
from model_servers.journeys import archive as journey

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings

_GUIDE = (
    "./build.sh --model_name <model_name> --model_file <model_file>"
    " --config_file <config_file> --requirements_file <requirements_file>"
    " --checkpoint_file <checkpoint_file> --version <version>"
    " [--extra_files <extra_files>]"
)
"""The usage of the build script, as the hosting guide has it."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What the official archiver takes; a registry is stricter."""


def add(commands: Commands) -> None:
    """Add the arguments of ``ms archive``."""
    text = "build a .mar from files outside the registry, as handler/build.sh"
    command = flags.command(
        commands, "archive", archive, text, usage=_GUIDE, allow_abbrev=False
    )
    for flag, told in (
        ("model_name", "the name of the model in TorchServe"),
        ("model_file", "the Python file that calls handler_factory"),
        ("config_file", "the TorchServe model config"),
        ("checkpoint_file", "the weights"),
        ("version", "such as 1.0"),
    ):
        place = f"<{flag}>"
        command.add_argument(f"--{flag}", required=True, metavar=place, help=told)
    command.add_argument(
        "--requirements_file",
        metavar="<requirements_file>",
        help="packages beside torch, if the model needs any",
    )
    command.add_argument(
        "--extra_files",
        metavar="<extra_files>",
        default="",
        help="an archive of sources, or files and directories with commas between",
    )
    command.add_argument(
        "-o", "--output", metavar="DIR", default=".", help="where to (%(default)s)"
    )


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
