"""Reads what a release asks of TorchServe out of its archive, before it is fetched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from model_servers.adapters import documents
from model_servers.core.layout import MANIFEST
from model_servers.core.release import Release
from model_servers.core.spec import Serving
from model_servers.errors import OutsideError

ReadRange = Callable[[int, int], bytes]


def serving(release: Release, read_range: ReadRange) -> Serving:
    """Read the model config of a release: two small reads, both verified.

    Raises:
        OutsideError: it cannot be read, or has other bytes than were released.
    """
    config = manifest(release, read_range)["model"].get("configFile")
    if config is None:
        return Serving()
    data, _ = documents.parse(_member(release, config, read_range).decode())
    return Serving.from_mapping(data)


def manifest(release: Release, read_range: ReadRange) -> Mapping[str, Any]:
    """Read what the archive of a release says of itself: one small, verified read.

    Raises:
        OutsideError: it cannot be read, or has other bytes than were released.
    """
    found: Mapping[str, Any] = json.loads(_member(release, MANIFEST, read_range))
    return found


def _member(release: Release, path: str, read_range: ReadRange) -> bytes:
    found = [one for one in release.archive.members if one.path == path]
    if not found:
        raise OutsideError(
            f"the archive of {release.ref} has no {path}",
            hint="`ms fsck` checks what the store holds",
        )
    data = read_range(found[0].offset, found[0].length)
    if hashlib.sha256(data).hexdigest() != found[0].sha256:
        raise OutsideError(
            f"the store gives other bytes for {path} of {release.ref} than were "
            "released",
            hint="run the command again; `ms fsck` checks what the store holds",
        )
    return data
