"""How many cores and how much memory this machine has."""

from __future__ import annotations

import os

from model_servers.core.crowding import Machine


def machine() -> Machine:
    """Look at the machine; cores are those that this process may run on."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(cores=len(os.sched_getaffinity(0)), memory_mib=memory_bytes // 2**20)
