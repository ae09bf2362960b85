"""The GPUs of a host, as TorchServe's workers will see them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

HEADROOM_MIB = 256
"""Left free on every device unless a policy says otherwise."""

HEADROOM_SHARE = 0.02

MEND = "run nvidia-smi; a lost GPU, or a driver that was updated, needs a reboot"
"""What to do about a driver that is there and fails."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """One GPU and who uses its memory."""

    index: int
    """What ``deviceIds`` calls it: its place in CUDA_VISIBLE_DEVICES if that is set."""

    total_mib: int
    free_mib: int
    name: str = "GPU"
    uuid: str = ""
    processes: Mapping[int, int] = field(default_factory=dict)
    """The MiB that each process holds, by its id where the driver runs."""

    physical: int | None = None
    """What the driver calls it, where that differs from ``index``."""

    keep_mib: int = HEADROOM_MIB
    """What the host's policy leaves free."""

    is_mig: bool = False
    """Cut into instances, of which TorchServe 0.12 cannot be given one."""

    @property
    def used_mib(self) -> int:
        """What is taken, by anybody, the driver included."""
        return self.total_mib - self.free_mib

    @property
    def headroom_mib(self) -> int:
        """What admission leaves free."""
        return max(self.keep_mib, round(self.total_mib * HEADROOM_SHARE))


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """What a host has; no devices make it a CPU host."""

    devices: tuple[Device, ...] = ()
    why_none: str = ""
    """Why no device can be used, where there is none."""

    is_unknown: bool = False
    """There may be devices, and nobody can tell; ``why_none`` says why."""


def visible(gpus: Gpus, mask: str | None) -> Gpus:
    """Give the devices that a TorchServe with CUDA_VISIBLE_DEVICES of *mask* counts.

    Its ``deviceIds`` are places in that list. None is a variable that is not set.

    Source: TorchServe 0.12 reads every entry as a number (ConfigManager.java:934);
        with a UUID of a GPU or of a MIG instance it does not start. CUDA ends the list
        at the first entry that it does not know.
    """
    if mask is None or not gpus.devices:
        return gpus
    entries = [entry.strip() for entry in mask.split(",")] if mask.strip() else []
    if any(not entry.lstrip("-").isdigit() for entry in entries):
        return Gpus(
            why_none=f"CUDA_VISIBLE_DEVICES is {mask!r}; TorchServe 0.12 takes numbers "
            "only, no UUIDs and no MIG instances"
        )
    by_index = {device.index: device for device in gpus.devices}
    found: list[Device] = []
    for entry in map(int, entries):
        if entry not in by_index:
            break
        found.append(replace(by_index[entry], index=len(found), physical=entry))
    if not found:
        return Gpus(why_none=f"CUDA_VISIBLE_DEVICES is {mask!r}, which shows none")
    return Gpus(devices=tuple(found))


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A registered version that uses GPUs, or will."""

    name: str
    version: str
    device_mib: Mapping[int, int]
    """What its workers may take on each device, by the device's index."""

    pids: tuple[int, ...] = ()


def spread_mib(
    worker_mib: int, workers: int, device_ids: Sequence[int], *, each: int = 1
) -> dict[int, int]:
    """Say what the workers of one version may take on each device.

    TorchServe gives workers the devices of the list in turn, and goes on counting
    when workers come anew; so every device counts as if it came first.

    Args:
        worker_mib: of one worker on one device, its context included.
        workers: how many there are.
        device_ids: where they may be.
        each: how many devices one worker takes (``parallelLevel``).

    >>> spread_mib(1000, 3, [0, 1])
    {0: 2000, 1: 2000}
    """
    groups = max(1, len(device_ids) // each)
    return dict.fromkeys(device_ids, -(-workers // groups) * worker_mib)


def available_mib(device: Device, tenants: Collection[Tenant]) -> int:
    """Say what may still be promised on *device*.

    The lesser of what is left when every tenant has taken all it may take, and of
    what is free now less what tenants have been promised and have not taken yet.
    """
    promised = [tenant.device_mib.get(device.index, 0) for tenant in tenants]
    taken = _taken_mib(device, tenants)
    foreign_mib = max(0, device.used_mib - sum(taken))
    grown = sum(max(pair) for pair in zip(promised, taken, strict=True))
    when_grown = device.total_mib - foreign_mib - grown
    now = device.free_mib - sum(
        max(0, promise - used) for promise, used in zip(promised, taken, strict=True)
    )
    return min(when_grown, now) - device.headroom_mib


def vacated(
    device: Device, tenants: Sequence[Tenant], gone: Collection[Tenant]
) -> Device:
    """Give *device* once some of its tenants have left, and what they held is free."""
    pids = {pid for tenant in gone for pid in tenant.pids}
    taken = zip(tenants, _taken_mib(device, tenants), strict=True)
    freed = sum(mib for tenant, mib in taken if tenant in gone)
    return replace(
        device,
        free_mib=device.free_mib + freed,
        processes={
            pid: mib for pid, mib in device.processes.items() if pid not in pids
        },
    )


def _taken_mib(device: Device, tenants: Collection[Tenant]) -> list[int]:
    """Say what each tenant holds.

    In a container the driver's process ids are not ours: what is used may then be
    the tenants', up to what they were promised.
    """
    taken = [
        sum(device.processes.get(pid, 0) for pid in tenant.pids) for tenant in tenants
    ]
    if any(taken):
        return taken
    left = device.used_mib
    for i, tenant in enumerate(tenants):
        taken[i] = min(left, tenant.device_mib.get(device.index, 0))
        left -= taken[i]
    return taken
