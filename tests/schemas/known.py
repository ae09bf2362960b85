"""The schemas and the valid documents that the tests speak of."""

import json
from pathlib import Path

from model_servers.adapters import bundled

VALID = Path(__file__).parent / "valid"
VALID_DOCUMENTS = sorted(VALID.rglob("*.yaml"))
"""By the name of their schema, which is the name of their folder."""

NAMES = [
    "channel-pointer",
    "channels",
    "golden",
    "lifecycle",
    "model",
    "model-config",
    "release",
    "report",
    "sync",
]


def schema(name):
    path = bundled.schemas() / f"{name}.schema.json"
    return json.loads(path.read_text(encoding="utf-8"))
