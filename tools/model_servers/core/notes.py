"""What a GitHub release says of a released version."""

from __future__ import annotations

import re

from model_servers.core.names import Ref, Version
from model_servers.core.release import Release

CHANGELOG_FILE = "CHANGELOG.md"
"""Beside ``model.yaml``, if its authors keep one."""

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*")


def tag(ref: Ref) -> str:
    """Name the tag of a version.

    >>> tag(Ref.parse("digits@1.0.0"))
    'digits/v1.0.0'
    """
    return f"{ref.name}/v{ref.version}"


def section(changelog: str, version: Version) -> str:
    """Give what a changelog says below the heading that names *version*.

    Headings may decorate it: ``## [1.2.0] - 2026-03-01`` and ``# v1.2.0`` are both
    about 1.2.0. Empty if there is no such heading.
    """
    found: list[str] = []
    depth = 0
    for line in changelog.splitlines():
        heading = _HEADING.fullmatch(line)
        if heading and depth and len(heading[1]) <= depth:
            break
        if depth:
            found.append(line)
        elif heading and _names(heading[2], version):
            depth = len(heading[1])
    return "\n".join(found).strip()


def notes(release: Release, changelog: str) -> str:
    """Write the text of a release: what changed, then what it is, to be checked."""
    told = section(changelog, release.ref.version)
    archive = release.archive
    facts = [
        f"| archive | `{release.key}` |",
        f"| sha256 | `{archive.sha256}` |",
        f"| size | {archive.size_bytes} bytes |",
        f"| inputs | `{release.inputs_digest}` |",
        *(f"| {name} | `{text}` |" for name, text in sorted(release.toolchain.items())),
    ]
    table = "\n".join(["| | |", "| --- | --- |", *facts])
    return f"{told}\n\n{table}\n" if told else f"{table}\n"


def _names(heading: str, version: Version) -> bool:
    words = re.split(r"[\s\[\](),:]+", heading)
    return version.text in {word.removeprefix("v") for word in words}
