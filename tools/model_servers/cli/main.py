"""``ms``: parse, run, and turn every expected end into a message and a status."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from model_servers import interruption
from model_servers.cli.parser import parser
from model_servers.cli.settings import Settings
from model_servers.cli.watch import say
from model_servers.errors import ExitStatus, ModelServersError

_INTERRUPTED = 130
"""What shells call the end by Ctrl-C: 128 + SIGINT."""

_UNREAD = 141
"""What they call that of a program whose reader has gone: 128 + SIGPIPE."""


def run() -> NoReturn:
    """Be the program ``ms``, which ends when it has said how.

    What is still at work then, as a thread whose store hangs, is cut off as by a kill:
    whatever it does can be run again. Python's own way out would wait for it, and lose
    the status: it ends by SIGINT if Ctrl-C has come in an ``exec``, as of a dataclass.
    """
    _open_missing_streams()
    interruption.listen()
    try:
        status = main()
        status = _heard(status, _lost())
    except KeyboardInterrupt:
        interruption.deafen()
        status = _interrupted()
    os._exit(status)


def _open_missing_streams() -> None:
    """Have nobody hear what is said into a stream that the caller has closed.

    The next file to be opened would take its place otherwise.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for good


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``ms`` and give its exit status."""
    # A file's name may be no text, and a terminal may not know every character.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:] if arguments is None else arguments
    options, unknown = parser(arguments).parse_known_args(arguments)
    if unknown:
        options.refuse(unknown)
    try:
        settings = Settings.of(options, os.environ)
        return int(options.run(options, settings))
    except ModelServersError as error:
        say(f"ms: {error}")
        if error.hint:
            say(f"hint: {error.hint}")
        return error.exit_status
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:  # noqa: BLE001 - the one boundary
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    """Tell of a bug. Ctrl-C that comes within a lock makes another error of itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return _interrupted()
        cause = cause.__context__
    # If it was stdout that failed, it fails once more.
    if isinstance(error, OSError) and (lost := _lost("\n")):
        return _heard(_UNREAD, lost)
    say("".join(traceback.format_exception(error)), end="")
    say("ms: this is a bug in model-servers; please report the lines above")
    return ExitStatus.BUG


def _lost(rest: str = "") -> OSError | None:
    """Write out the rest of the answer; say why that cannot be done."""
    try:
        if rest:
            sys.stdout.write(rest)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


def _heard(status: int, lost: OSError | None) -> int:
    """Give *status*, unless the answer is lost to somebody who wants it."""
    if lost is None or isinstance(lost, BrokenPipeError):
        return status  # the reader has gone; there is nobody left to tell
    say(f"ms: the answer cannot be written to stdout: {lost.strerror}")
    return ExitStatus.OUTSIDE


def _interrupted() -> int:
    say("ms: interrupted; run the same command again to go on")
    return _INTERRUPTED
