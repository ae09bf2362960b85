"""Looks at an entry of a model store as TorchServe would when it starts."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from model_servers.adapters import documents
from model_servers.core.entries import Layout
from model_servers.core.layout import MANIFEST
from model_servers.core.names import Ref

_UNREADABLE = (
    documents.UnreadableError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)

_Read = Callable[[str], bytes]


def visible_layout(model_store: Path, ref: Ref, wanted: Layout) -> Layout:
    """Say in which layout a version is there; in the wanted one if in both or none."""
    others = (one for one in Layout if (model_store / one.entry(ref)).exists())
    found = [one for one in others if one is not wanted]
    is_there = (model_store / wanted.entry(ref)).exists()
    return wanted if is_there or not found else found[0]


def why_unusable(model_store: Path, ref: Ref, layout: Layout = Layout.DIR) -> str:
    """Say why TorchServe could not load an entry, or nothing.

    Of an archive, the directory and what TorchServe itself reads is looked at.

    Source: a model config that is no mapping of texts ends TorchServe at its start,
        with all models (ArchiveUtils.java:62-73, ModelServer.java:312-318, 0.12).
    """
    entry = model_store / layout.entry(ref)
    read: _Read = partial(_member if layout is Layout.MAR else _file, entry)
    try:
        model = json.loads(read(MANIFEST))["model"]
        name = model.get("configFile")
        config: Any = {"": ""}
        if name is not None:
            config, _ = documents.parse(read(name).decode())
    except _UNREADABLE as error:
        return f"it cannot be read: {error}"
    if not isinstance(config, dict) or not config:
        return f"its {name} holds no settings"
    if str(model.get("modelVersion")) != str(ref.version):
        return f"it says that it is version {model.get('modelVersion')}"
    return ""


def _file(entry: Path, path: str) -> bytes:
    return (entry / path).read_bytes()


def _member(entry: Path, path: str) -> bytes:
    with zipfile.ZipFile(entry) as archive:
        return archive.read(path)
