"""``ms checkpoint``: weights that are not in git."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.cli.watch import say, watcher
from model_servers.core.reuse import checkpoint_key
from model_servers.errors import ExitStatus, RequestError

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings


def add(commands: Commands) -> None:
    """Add the arguments of ``ms checkpoint add``."""
    group = flags.group(commands, "checkpoint", "weights that are not in git")
    command = flags.command(
        group,
        "add",
        add_file,
        "put a weight file into a store; print the lines for model.yaml",
    )
    command.add_argument("file", metavar="FILE", help="the weights")
    flags.store(command)


def add_file(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Store a file under its digest, and say how a model declares it."""
    file = Path(options.file)
    if not file.is_file() or not file.stat().st_size:
        raise RequestError(
            f"{file} is no file with something in it", hint="name the weights"
        )
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url)
    digests = wire.digests_of(file)
    key = checkpoint_key(digests.sha256)
    is_there = at.stat(key) is not None
    with watcher() as console:
        on_bytes = console.storing(file.name, digests.size_bytes)
        content = wire.hashed_content(file, digests.sha256)
        at.upload(key, content, on_bytes=on_bytes)
    told = "was in the store already" if is_there else "is in the store"
    say(f"{file.name}  {render.size(digests.size_bytes)}  {told}: {at.address}/{key}")
    print("checkpoint:")
    if at.address.startswith("s3://"):
        print(f"  uri: {at.address}/{key}")
    else:
        say("note: only whoever names this store finds them: --store")
    print(f'  sha256: "{digests.sha256}"\n  size: {digests.size_bytes}')
    return ExitStatus.DONE
