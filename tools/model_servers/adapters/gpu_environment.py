"""Finds out which GPUs a running TorchServe can see."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

_MASK = "CUDA_VISIBLE_DEVICES"


def mask(pids: Sequence[int], environment: Mapping[str, str]) -> str | None:
    """Give CUDA_VISIBLE_DEVICES of TorchServe; None if it is not set.

    A worker has TorchServe's environment, which its owner and root can read. Where
    none can be read, *environment* is taken: that of this process, which a systemd
    unit gives the same file.
    """
    for pid in pids:
        found = environment_of(pid)
        if found is not None:
            return found.get(_MASK)
    return environment.get(_MASK)


def environment_of(pid: int) -> dict[str, str] | None:
    """Read the environment of a process; None if there is none, or it is not allowed.

    A process that has just started or ended shows an empty one.
    """
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    if not text:
        return None
    entries = (os.fsdecode(entry).partition("=") for entry in text.split(b"\0"))
    return {name: value for name, _, value in entries if name}
