"""The arguments of ``ms``: each command's stand beside what it does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module

from model_servers import __version__
from model_servers.cli.flags import Parser

_EPILOG = """\
exit status: 0 done or nothing to do, 1 findings, 2 usage, 3 the outside failed,
4 refused by a safety rule, 5 changes are pending (sync plan --exit-code), 70 a bug
"""

_COMMANDS = {
    "doctor": "doctor.add",
    "init": "init.add",
    "changed": "work.add",
    "validate": "model.add_validate",
    "lock": "versions.add_lock",
    "bump": "versions.add_bump",
    "diff": "versions.add_diff",
    "build": "model.add_build",
    "archive": "archive.add",
    "checkpoint": "checkpoint.add",
    "golden": "golden.add",
    "test": "model.add_test",
    "serve": "serve.add",
    "publish": "release.add",
    "fetch": "fetch.add",
    "announce": "announce.add",
    "summary": "summary.add",
    "promote": "channels.add_promote",
    "channels": "channels.add_channels",
    "yank": "lifecycle.add_yank",
    "deprecate": "lifecycle.add_deprecate",
    "store": "store.add",
    "fsck": "fsck.add",
    "rebuild": "rebuild.add",
    "mirror": "mirror.add",
    "sync": "host.sync.add",
    "site": "site.add",
    "demo": "demo.add",
}
"""What adds each command, in the order in which people meet them."""


def parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Make the parser; ``options.run`` is the chosen command's function.

    Args:
        arguments: what is to be parsed. Where they begin with a command, only that
            one is loaded: all of them take several times as long.
    """
    root = Parser(
        prog="ms",
        description="A model registry that is a git repository, served by TorchServe.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"ms {__version__}")
    commands = root.add_subparsers(metavar="COMMAND", required=True)
    named = [one for one in arguments[:1] if one in _COMMANDS]
    for name in named or _COMMANDS:
        module, _, function = _COMMANDS[name].rpartition(".")
        add = getattr(import_module(f"model_servers.cli.{module}"), function)
        add(commands)
    return root
