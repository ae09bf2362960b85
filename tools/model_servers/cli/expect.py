"""``--expect``: the digests that archives must have."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from model_servers.errors import RequestError

if TYPE_CHECKING:
    from model_servers.journeys.build import Build, Built

_SHA256 = re.compile(r"[0-9a-f]{64}")


def flag(command: argparse.ArgumentParser) -> None:
    """Take the digests."""
    command.add_argument(
        "--expect",
        metavar="DIGESTS",
        help="what ms build --json printed elsewhere; another archive is refused",
    )


def as_asked(build: Build, text: str | None) -> Build:
    """Give a build journey that keeps to ``--expect``, if that was given."""
    return build if text is None else replace(build, expected=digests(text))


def digests(text: str) -> Mapping[str, str]:
    """Read what ``ms build --json`` has printed."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(map(_is_digest, found.values())):
        raise RequestError(
            "--expect wants digests by file name, as a JSON object",
            hint="give it what ms build --json printed",
        )
    return found


def told(built: Iterable[Built]) -> str:
    """Write the digests of archives in one line."""
    return json.dumps({one.path.name: one.archive.sha256 for one in built})


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None
