"""``ms sync install``: the files that make this machine a host."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import flags, wire
from model_servers.core.units import Place, files
from model_servers.errors import ExitStatus, RequestError

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings

_ALL = "all"


def add(group: Commands) -> None:
    """Add its arguments."""
    command = flags.command(
        group,
        "install",
        install,
        "print TorchServe's config and systemd's units for this host",
    )
    command.add_argument(
        "--print",
        nargs="?",
        const=_ALL,
        required=True,
        metavar="FILE",
        dest="file",
        help="one of them, such as torchserve.service; all if none is named",
    )
    flags.as_json(command)
    flags.profile(command)


def install(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Print the files; where they go is for the machine's owner to do."""
    host = wire.profile(settings)
    python = Path(host.python or sys.executable)
    found = files(
        host,
        Place(
            profile=str(settings.profile.absolute()),
            ms=str(Path(sys.executable).with_name("ms")),
            torchserve=str(python.with_name("torchserve")),
            model_store=str(wire.model_store_path(host)),
        ),
    )
    if options.file != _ALL:
        found = {path: text for path, text in found.items() if _is(path, options.file)}
        if not found:
            raise RequestError(
                f"there is no file {options.file}",
                hint="ms sync install --print names them all",
            )
    if options.json:
        print(json.dumps(found, indent=2))
    elif options.file == _ALL:
        print("\n".join(f"# ==> {path}\n\n{text}" for path, text in found.items()))
    else:
        print(*found.values(), sep="", end="")
    return ExitStatus.DONE


def _is(path: str, asked: str) -> bool:
    return asked in (path, path.rpartition("/")[2])
