"""The arguments of ``ms``: each command's stand beside what it does."""

from __future__ import annotations

import argparse

from model_servers import __version__
from model_servers.cli import (
    announce,
    archive,
    channels,
    checkpoint,
    demo,
    doctor,
    fetch,
    fsck,
    golden,
    init,
    lifecycle,
    mirror,
    model,
    rebuild,
    release,
    serve,
    site,
    store,
    summary,
    versions,
    work,
)
from model_servers.cli.flags import Parser
from model_servers.cli.host import sync

_EPILOG = """\
exit status: 0 done or nothing to do, 1 findings, 2 usage, 3 the outside failed,
4 refused by a safety rule, 5 changes are pending (sync plan --exit-code), 70 a bug
"""

_COMMANDS = (
    doctor.add,
    init.add,
    work.add,
    model.add_validate,
    versions.add_lock,
    versions.add_bump,
    versions.add_diff,
    model.add_build,
    archive.add,
    checkpoint.add,
    golden.add,
    model.add_test,
    serve.add,
    release.add,
    fetch.add,
    announce.add,
    summary.add,
    channels.add_promote,
    channels.add_channels,
    lifecycle.add_yank,
    lifecycle.add_deprecate,
    store.add,
    fsck.add,
    rebuild.add,
    mirror.add,
    sync.add,
    site.add,
    demo.add,
)
"""In the order in which people meet them."""


def parser() -> argparse.ArgumentParser:
    """Make the parser of all commands; ``options.run`` is the chosen one's function."""
    root = Parser(
        prog="ms",
        description="A model registry that is a git repository, served by TorchServe.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"ms {__version__}")
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    for add in _COMMANDS:
        add(commands)
    return root
