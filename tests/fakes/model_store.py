"""Entries of a model store that a real TorchServe loads in a second, without torch."""

from __future__ import annotations

import json
from pathlib import Path

from model_servers.core.names import Ref

# Answers with the request's body; fails for the body "fail".
_SERVICE = """\
def handle(data, context):
    if data is None:
        return None
    bodies = [row.get("data") or row.get("body") for row in data]
    if any(bytes(body) == b"fail" for body in bodies):
        raise RuntimeError("told to fail")
    return bodies
"""

_CONFIG = """\
minWorkers: 1
maxWorkers: 1
batchSize: 3
maxBatchDelay: 7
responseTimeout: 33
startupTimeout: 60
"""


def write_entry(model_store: Path, ref: Ref, *, folder: str | None = None) -> Path:
    """Write a model that answers with what it was asked; give its directory.

    Args:
        model_store: where to.
        ref: what the model is called.
        folder: the directory's name, if not the entry's.
    """
    entry = model_store / (folder or ref.entry)
    (entry / "MAR-INF").mkdir(parents=True)
    manifest = {
        "createdOn": "01/01/1980 00:00:00",
        "runtime": "python",
        "model": {
            "modelName": ref.name,
            "modelVersion": str(ref.version),
            "handler": "service:handle",
            "configFile": "model-config.yaml",
        },
        "archiverVersion": "0",
    }
    (entry / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest), "utf-8")
    (entry / "model-config.yaml").write_text(_CONFIG, "utf-8")
    (entry / "service.py").write_text(_SERVICE, "utf-8")
    return entry
