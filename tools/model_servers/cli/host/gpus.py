"""Writes what a plan does to the GPUs of a host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model_servers.cli.render import count
from model_servers.core.admission import Admission, Admitted, DeviceUse
from model_servers.core.placement import Misfit, Placement


def admission_text(found: Admission) -> str:
    """Write the memory of each device, where versions go, what is refused or crowded.

    Nothing for a plan that wants no GPU on a host that has one.
    """
    return "\n".join([*_devices(found), *_models(found), *_crowded(found)])


def admission_mapping(found: Admission) -> dict[str, Any]:
    """Give an admission as JSON values."""
    return {
        "why_no_gpu": found.why_no_gpu,
        "devices": [_use_mapping(use) for use in found.uses],
        "placements": {
            f"{name}@{version}": {
                "device_ids": list(one.device_ids),
                "workers": one.workers,
                "worker_mib": one.worker_mib,
                "estimated": one.is_estimated,
            }
            for (name, version), one in found.placements().items()
        },
        "downtime": [
            name
            for name, one in found.decisions.items()
            if isinstance(one, Admitted) and one.old_goes_first
        ],
        "refused": {
            name: {
                "reason": one.reason,
                "details": list(one.details),
                "hint": one.hint,
            }
            for name, one in found.refused.items()
        },
    }


def _devices(found: Admission) -> Iterator[str]:
    wants_gpu = found.refused or any(
        one.device_ids for one in found.placements().values()
    )
    if not wants_gpu:
        return
    for use in found.uses:
        device = use.device
        called = "" if device.physical is None else f" (number {device.physical})"
        if device.is_mig:
            yield f"  GPU {device.index}{called} {device.name}: in MIG mode, not used"
            continue
        yield (
            f"  GPU {device.index}{called} {device.name}: {device.free_mib} of "
            f"{device.total_mib} MiB free; {use.held_mib} promised, "
            f"{use.peak_mib} at most with this plan, {device.headroom_mib} kept free"
        )


def _models(found: Admission) -> Iterator[str]:
    for name, one in found.decisions.items():
        if isinstance(one, Misfit):
            yield f"  x {name} is refused: {one.reason}"
            yield from (f"      {line}" for line in one.details)
            if one.hint:
                yield f"      hint: {one.hint}"
            continue
        if one.old_goes_first:
            yield f"  ! {name} does not answer from when the old version goes"
        for version, placement in one.placements.items():
            if placement.device_ids:
                yield f"  {name}@{version} {_placement(placement)}"


def _crowded(found: Admission) -> Iterator[str]:
    for ref, why in found.crowded.items():
        yield f"  note: {ref}: {why}"
        name = ref.partition("@")[0]
        yield f"      hint: say fewer `workers:` for {name} in the host profile"


def _placement(one: Placement) -> str:
    where = ", ".join(map(str, one.device_ids))
    estimated = ", estimated: it declares no maxGPUMemory" if one.is_estimated else ""
    return (
        f"on GPU {where}: {count(one.workers, 'worker')} of {one.worker_mib} MiB"
        f"{estimated}"
    )


def _use_mapping(use: DeviceUse) -> dict[str, Any]:
    device = use.device
    return {
        "index": device.index,
        "physical": device.index if device.physical is None else device.physical,
        "name": device.name,
        "uuid": device.uuid,
        "mig": device.is_mig,
        "total_mib": device.total_mib,
        "used_mib": device.used_mib,
        "free_mib": device.free_mib,
        "processes_mib": {str(pid): mib for pid, mib in device.processes.items()},
        "promised_mib": use.held_mib,
        "peak_mib": use.peak_mib,
        "headroom_mib": device.headroom_mib,
    }
