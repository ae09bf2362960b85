"""``ms rebuild``: a released archive, made again from git."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.cli.watch import say
from model_servers.core.names import Ref
from model_servers.errors import ExitStatus, RefusedError, RequestError
from model_servers.journeys.rebuild import Rebuilt
from model_servers.journeys.rebuild import rebuild as build_again

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.core.release import Release


def add(commands: Commands) -> None:
    """Add the arguments of ``ms rebuild``."""
    command = flags.command(
        commands,
        "rebuild",
        rebuild,
        "make a released archive again from the commit that it was released from",
    )
    command.add_argument("ref", metavar="NAME@VERSION", help="a released version")
    command.add_argument(
        "--verify",
        action="store_true",
        help="end with status 1, and say why, if it is not the released one; keep "
        "nothing without --output",
    )
    command.add_argument(
        "-o", "--output", metavar="DIR", help="where to (dist, without --verify)"
    )
    flags.as_json(command)
    flags.registry(command)
    flags.store(command)


def rebuild(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Build a release again, and compare it with the released archive."""
    release = _release(options.ref, settings)
    if release.git_commit is None:
        say(f"note: {release.ref} names no commit, so the checkout is built as it is")
    with (
        wire.as_released(settings, release) as build,
        _folder(options) as folder,
    ):
        rebuilt = build_again(build, release, folder)
    if options.json:
        print(json.dumps(_mapping(rebuilt), indent=2))
    else:
        print(_text(rebuilt))
    is_wrong = options.verify and rebuilt.differences
    return ExitStatus.FINDINGS if is_wrong else ExitStatus.DONE


def _release(text: str, settings: Settings) -> Release:
    try:
        ref = Ref.parse(text)
    except ValueError as error:
        raise RequestError(str(error), hint="ms rebuild NAME@VERSION") from error
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url, is_new=False)
    release = wire.releases(at).find(ref)
    if release is None:
        raise RefusedError(
            f"{ref} is not released in {at.address}",
            hint="name a version that is, or another --store",
        )
    return release


@contextmanager
def _folder(options: argparse.Namespace) -> Iterator[Path]:
    """Give where the archive goes: to stay, or only to be compared."""
    if options.output or not options.verify:
        yield Path(options.output or "dist")
        return
    with tempfile.TemporaryDirectory(prefix="ms-rebuild-") as folder:
        yield Path(folder)


def _text(rebuilt: Rebuilt) -> str:
    """Write what was built, and how it differs."""
    archive, released = rebuilt.built.archive, rebuilt.release.archive
    same = (
        f"differs from the released {released.sha256[:12]}"
        if rebuilt.differences
        else "is the released one, byte for byte"
    )
    headline = (
        f"{rebuilt.release.ref}  {render.size(archive.size_bytes)}  "
        f"{archive.sha256[:12]}  {same}"
    )
    return "\n".join([headline, *(f"  {one}" for one in rebuilt.differences)])


def _mapping(rebuilt: Rebuilt) -> dict[str, object]:
    return {
        "ref": str(rebuilt.release.ref),
        "git_commit": rebuilt.release.git_commit,
        "released_sha256": rebuilt.release.archive.sha256,
        "rebuilt_sha256": rebuilt.built.archive.sha256,
        "differences": list(rebuilt.differences),
    }
