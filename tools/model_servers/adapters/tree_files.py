"""What the entries of a model store are made of: files of trees, read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_servers.adapters import documents
from model_servers.core.layout import MANIFEST
from model_servers.core.overlay import Overlay, with_overlay
from model_servers.core.spec import Serving
from model_servers.ports import NO_OVERLAY

HOME = ".model-servers"
"""The folder of a model store that is ours; TorchServe ignores hidden ones."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What an entry of a model store is made of."""

    sha256: str
    """Of the released archive, which names its tree."""

    overlay: Overlay
    """What this host has changed in its model config."""


def manifest(tree: Path) -> Mapping[str, Any]:
    """Read the manifest of a tree."""
    found: Mapping[str, Any] = json.loads((tree / MANIFEST).read_bytes())
    return found


def serving(tree: Path, overlay: Overlay = NO_OVERLAY) -> Serving:
    """Read what a tree asks of TorchServe, on a host with this overlay."""
    name = manifest(tree)["model"].get("configFile")
    if name is None:
        return Serving()
    data, _ = documents.parse((tree / name).read_text("utf-8"))
    return Serving.from_mapping({**data, **overlay})


def overlaid_config(tree: Path, overlay: Overlay) -> tuple[str, str]:
    """Give the name of a tree's model config, and its text with another overlay."""
    name = manifest(tree)["model"].get("configFile", "model-config.yaml")
    config = tree / name
    own = documents.parse(config.read_text("utf-8"))[0] if config.exists() else {}
    return name, with_overlay(own, overlay)
