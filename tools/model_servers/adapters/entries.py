"""Looks at an entry of a model store as TorchServe would when it starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model_servers.adapters import documents
from model_servers.core.layout import MANIFEST
from model_servers.core.names import Ref

_UNREADABLE = (
    documents.UnreadableError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
)


def why_unusable(model_store: Path, ref: Ref) -> str:
    """Say why TorchServe could not load an entry, or nothing.

    Source: a model config that is no mapping of texts ends TorchServe at its start,
        with all models (ArchiveUtils.java:62-73, ModelServer.java:312-318, 0.12).
    """
    entry = model_store / ref.entry
    try:
        model = json.loads((entry / MANIFEST).read_bytes())["model"]
        name = model.get("configFile")
        config: Any = {"": ""}
        if name is not None:
            config, _ = documents.parse((entry / name).read_text("utf-8"))
    except _UNREADABLE as error:
        return f"it cannot be read: {error}"
    if not isinstance(config, dict) or not config:
        return f"its {name} holds no settings"
    if str(model.get("modelVersion")) != str(ref.version):
        return f"it says that it is version {model.get('modelVersion')}"
    return ""
