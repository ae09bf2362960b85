"""Processes of this machine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_RESIDENT = re.compile(r"^VmRSS:\s*(\d+) kB$", re.MULTILINE)


def memory_mib(pids: Sequence[int]) -> int | None:
    """Say what processes have resident together; None if the system does not tell."""
    found = [_resident_kib(pid) for pid in pids]
    known = [kib for kib in found if kib is not None]
    return round(sum(known) / 1024) if known else None


def _resident_kib(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    match = _RESIDENT.search(status)
    return int(match[1]) if match else None
