"""``ms site``: the catalogue as static pages."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from model_servers.cli import flags, render, wire
from model_servers.errors import ExitStatus, RequestError

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings


def add(commands: Commands) -> None:
    """Add the arguments of ``ms site``."""
    command = flags.command(
        commands, "site", site, "write a catalogue of the models as static web pages"
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default="dist/site",
        help="where to; a catalogue that is there is replaced (%(default)s)",
    )
    command.add_argument(
        "--title", default="Model catalogue", help="of the catalogue (%(default)s)"
    )
    command.add_argument(
        "--repository",
        metavar="URL",
        help="the web address of the git repository, for links to commits and files",
    )
    command.add_argument(
        "--url", metavar="URL", help="where the pages will be, for the feed"
    )
    flags.registry(command)
    flags.store(command)


def site(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Write the catalogue of the registry and of what the store has."""
    target = Path(options.output)
    url = _web_address(options.url, "--url")
    repository = _web_address(options.repository, "--repository")
    journey = wire.site(settings, target, url=f"{url}/" if url else None)
    catalogue = journey.write(title=options.title, repository=repository)
    versions = sum(len(model.versions) for model in catalogue.models)
    print(
        f"{target / 'index.html'}: {render.count(len(catalogue.models), 'model')},"
        f" {render.count(versions, 'release')}"
    )
    return ExitStatus.DONE


def _web_address(text: str | None, flag: str) -> str | None:
    """Give an address without the slash at its end; None if there is none."""
    if text is None:
        return None
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise RequestError(
            f"{flag} is no web address: {error}", hint=f"correct {flag}"
        ) from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RequestError(
            f"{flag} is {text!r}, and no web address",
            hint=f"{flag} https://example.org/models",
        )
    return text.rstrip("/")
