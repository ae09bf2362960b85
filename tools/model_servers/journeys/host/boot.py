"""Write what TorchServe starts with, just before it starts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from model_servers.core.names import Ref
from model_servers.ports import HostMemory


def write_boot(
    memory: HostMemory, why_unusable: Callable[[Ref], str]
) -> dict[str, str]:
    """Leave out what TorchServe could not load; what is remembered stays.

    One entry can keep TorchServe from starting at all, so none is trusted.

    Args:
        memory: of the host.
        why_unusable: says why an entry cannot be loaded, or nothing.

    Returns:
        What is left out, such as ``digits@1.0.0``, and why.
    """
    served = memory.read().served
    reasons: dict[str, str] = {}
    kept: dict[str, tuple[str, ...]] = {}
    for name, versions in served.items():
        for version in versions:
            reason = f"{version} is no version"
            with suppress(ValueError):
                reason = why_unusable(Ref.parse(f"{name}@{version}"))
            if reason:
                reasons[f"{name}@{version}"] = reason
            else:
                kept[name] = (*kept.get(name, ()), version)
    memory.write_boot(kept)
    return reasons
