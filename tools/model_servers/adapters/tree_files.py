"""What the entries of a model store are made of: files of trees, read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_servers.adapters import documents
from model_servers.core.golden import GoldenCase
from model_servers.core.layout import GOLDEN_FOLDER, MANIFEST
from model_servers.core.overlay import Overlay, with_overlay
from model_servers.core.release import ReleasedMember
from model_servers.core.spec import Serving
from model_servers.errors import OutsideError
from model_servers.ports import NO_OVERLAY

HOME = ".model-servers"
"""The folder of a model store that is ours; TorchServe ignores hidden ones."""


_UNREADABLE = (
    documents.UnreadableError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)

_LARGE_BYTES = 2**20
"""What takes time to hash; `ms sync verify` does, and golden requests tell too."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What an entry of a model store is made of."""

    sha256: str
    """Of the released archive, which names its tree."""

    overlay: Overlay
    """What this host has changed in its model config."""


@contextmanager
def reading(tree: Path) -> Iterator[None]:
    """Tell a file of a tree that cannot be read as what it is: it has rotted.

    Raises:
        OutsideError: the block could not read, or not understand, a file.
    """
    try:
        yield
    except _UNREADABLE as error:
        raise OutsideError(
            f"the tree {tree} has rotted: {error}",
            hint="`ms sync verify` mends what has rotted",
        ) from error


def is_whole(file: Path, member: ReleasedMember, *, recorded_ns: int) -> bool:
    """Say whether a file is a member still; a large one is not read for that.

    Args:
        file: in a tree.
        member: what it was once verified to be.
        recorded_ns: when the tree's record was written, after all of its files;
            somebody has written to a file that is newer.
    """
    try:
        found = file.stat()
        if found.st_size != member.length:
            return False
        if member.length >= _LARGE_BYTES:
            return found.st_mtime_ns <= recorded_ns
        return _sha256(file) == member.sha256
    except OSError:
        return False


def manifest_model(tree: Path) -> Mapping[str, Any]:
    """Read what the manifest of a tree says of its model.

    Raises:
        OutsideError: it has rotted.
    """
    with reading(tree):
        return dict(json.loads((tree / MANIFEST).read_bytes())["model"])


def serving(tree: Path, overlay: Overlay = NO_OVERLAY) -> Serving:
    """Read what a tree asks of TorchServe, on a host with this overlay.

    Raises:
        OutsideError: it has rotted.
    """
    name = manifest_model(tree).get("configFile")
    if name is None:
        return Serving()
    with reading(tree):
        data, _ = documents.parse((tree / name).read_text("utf-8"))
        return Serving.from_mapping({**data, **overlay})


def golden_cases(tree: Path) -> list[GoldenCase]:
    """Read the golden cases of a tree.

    Raises:
        OutsideError: it has rotted.
    """
    folder = tree / GOLDEN_FOLDER
    with reading(tree):
        return [
            GoldenCase.from_mapping(
                case.stem,
                documents.parse(case.read_text("utf-8"))[0],
                read=lambda name: (folder / name).read_bytes(),
            )
            for case in sorted(folder.glob("*.yaml"))
        ]


def overlaid_config(tree: Path, overlay: Overlay) -> tuple[str, str]:
    """Give the name of a tree's model config, and its text with another overlay.

    Raises:
        OutsideError: it has rotted.
    """
    name = manifest_model(tree).get("configFile", "model-config.yaml")
    config = tree / name
    with reading(tree):
        own = documents.parse(config.read_text("utf-8"))[0] if config.exists() else {}
        return name, with_overlay(own, overlay)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
