"""The one way in which values become bytes that are compared or digested."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Write *value* as JSON: keys sorted, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def sha256_of(value: Any) -> str:
    """Give the sha256, hex, of *value* as canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
