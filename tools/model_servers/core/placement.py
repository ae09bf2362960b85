"""Which GPUs the workers of a version go to, or why none of them will do.

TorchServe places blindly: a counter over all GPUs that starts at the second one and
never looks at memory. So sync decides, and says it with ``deviceIds``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from model_servers.core.gpus import (
    MEND,
    Device,
    Gpus,
    Tenant,
    available_mib,
    spread_mib,
)
from model_servers.core.spec import Serving

CONTEXT_MIB = 600
"""What a CUDA context takes beside tensors, where nobody has measured it.

Source: about 300 MiB since CUDA 11.7 loads kernels lazily, up to 1000 before.
"""

_ESTIMATE = 1.5
"""How much more memory than its archive a model takes that declares nothing."""


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What one version asks of GPUs."""

    name: str
    version: str
    workers: int
    tensors_mib: int
    """Of one worker, on each of its devices."""

    is_estimated: bool = False
    """Nothing is declared; ``tensors_mib`` is a guess."""

    context_mib: int = CONTEXT_MIB
    must_be_gpu: bool = False
    device_ids: tuple[int, ...] = ()
    """Those its model config, or the host profile, insists on."""

    each: int = 1
    """How many devices one worker takes."""

    @property
    def worker_mib(self) -> int:
        """What one worker takes on each of its devices."""
        return self.tensors_mib + self.context_mib


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What TorchServe must be told about one version, whatever its config says."""

    device_ids: tuple[int, ...]
    """Empty on a CPU host."""

    workers: int
    worker_mib: int
    """What one worker was admitted with, on each of its devices."""

    is_estimated: bool = False


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """Why a version cannot be placed."""

    reason: str
    """The same as long as the cause is, so that plans can be compared."""

    details: tuple[str, ...] = ()
    """What is needed and free, as it is now."""

    hint: str = ""


def ask(
    name: str,
    version: str,
    serving: Serving,
    *,
    archive_bytes: int,
    context_mib: int = CONTEXT_MIB,
) -> Ask | None:
    """Read what a version asks of GPUs; None if it wants none in any case."""
    if serving.device_type == "cpu":
        return None
    estimated_mib = round(archive_bytes * _ESTIMATE / 2**20)
    declared_mib = serving.gpu_memory_mib
    return Ask(
        name=name,
        version=version,
        workers=serving.min_workers or 1,
        tensors_mib=estimated_mib if declared_mib is None else declared_mib,
        is_estimated=declared_mib is None,
        context_mib=context_mib,
        must_be_gpu=serving.device_type == "gpu",
        device_ids=serving.device_ids,
        each=serving.parallel_level,
    )


def context_seen_mib(asked: Ask, gpus: Gpus, *, pids: Sequence[int]) -> int:
    """Say what a worker holds beside the tensors it may have: the most that is seen.

    0 where the driver shows no process, or nothing is declared and so nothing capped.
    """
    if asked.is_estimated:
        return 0
    held = [device.processes.get(pid, 0) for device in gpus.devices for pid in pids]
    return max([0, *(mib - asked.tensors_mib for mib in held)])


def place(
    wanted: Ask,
    gpus: Gpus,
    tenants: Collection[Tenant],
    *,
    sticky: Collection[int] = (),
) -> Placement | Misfit:
    """Choose devices for a version beside those that are there.

    Its workers are on as many devices as have room, since they then work at the same
    time; of these, on the devices it is on already, and then on the fullest, which
    leaves the emptiest to those that need much.

    Args:
        wanted: what it asks for.
        gpus: what the host has.
        tenants: whoever stays while it comes; the old version too, if it stays.
        sticky: the devices of the version that it replaces.
    """
    if not gpus.devices:
        return _on_cpu(wanted, gpus)
    invalid = _invalid(wanted, gpus)
    if invalid is not None:
        return invalid
    usable = [device for device in gpus.devices if not device.is_mig]
    free = {device.index: available_mib(device, tenants) for device in usable}
    chosen = (
        _insisted(wanted, free)
        if wanted.device_ids
        else _chosen(wanted, free, sticky=sticky)
    )
    if chosen is None:
        return _too_large(wanted, gpus.devices, free, tenants)
    return Placement(
        device_ids=tuple(sorted(chosen)),
        workers=wanted.workers,
        worker_mib=wanted.worker_mib,
        is_estimated=wanted.is_estimated,
    )


def tenant(wanted: Ask, placement: Placement) -> Tenant:
    """Give a placed version as those see it that are placed after it."""
    return Tenant(
        name=wanted.name,
        version=wanted.version,
        device_mib=spread_mib(
            placement.worker_mib,
            placement.workers,
            placement.device_ids,
            each=wanted.each,
        ),
    )


def tenant_seen(
    wanted: Ask, gpus: Gpus, *, pids: Sequence[int], device_ids: Sequence[int]
) -> Tenant:
    """Give a registered version as a tenant.

    Its workers are where the driver sees their processes; where it shows none, as in
    a container, they are on the devices that TorchServe was given, or anywhere.
    """
    seen = {
        device.index: wanted.worker_mib * sum(pid in device.processes for pid in pids)
        for device in gpus.devices
    }
    if not any(seen.values()):
        every = [device.index for device in gpus.devices]
        known = [index for index in device_ids if index in every]
        seen = spread_mib(
            wanted.worker_mib, wanted.workers, known or every, each=wanted.each
        )
    return Tenant(
        name=wanted.name, version=wanted.version, device_mib=seen, pids=tuple(pids)
    )


def _on_cpu(wanted: Ask, gpus: Gpus) -> Placement | Misfit:
    if gpus.is_unknown:
        asks = "asks for" if wanted.must_be_gpu else "may use"
        return Misfit(
            reason=f"it {asks} a GPU, and {gpus.why_none}",
            hint=f"{MEND}; or say `device: cpu` for {wanted.name} in the host profile "
            "meanwhile",
        )
    if wanted.must_be_gpu:
        why = gpus.why_none or "the driver shows none"
        return Misfit(
            reason=f"it asks for a GPU and this host has none: {why}",
            hint=f"take {wanted.name} off this host's profile, or mend the driver",
        )
    return Placement(device_ids=(), workers=wanted.workers, worker_mib=0)


def _invalid(wanted: Ask, gpus: Gpus) -> Misfit | None:
    """Refuse what TorchServe would ignore with a line in its log."""
    there = {device.index for device in gpus.devices}
    absent = sorted(set(wanted.device_ids) - there)
    hint = f"set the devices of {wanted.name} in the host profile"
    if absent:
        ids = ", ".join(map(str, absent))
        return Misfit(
            reason=f"deviceIds has {ids}, this host's GPUs are 0 to {max(there)}; "
            "TorchServe would ignore the whole list",
            hint=hint,
        )
    mig = sorted({one.index for one in gpus.devices if one.is_mig})
    cut = [index for index in wanted.device_ids if index in mig]
    if cut or len(mig) == len(there):
        ids = ", ".join(map(str, cut or mig))
        return Misfit(
            reason=f"GPU {ids} is in MIG mode, and TorchServe 0.12 cannot be given an "
            "instance",
            hint="switch MIG off on a GPU (nvidia-smi -i N -mig 0)",
        )
    if len(wanted.device_ids) % wanted.each:
        return Misfit(
            reason=f"deviceIds has {len(wanted.device_ids)} GPUs, a worker takes "
            f"{wanted.each} at once",
            hint=hint,
        )
    return None


def _insisted(wanted: Ask, free: dict[int, int]) -> Sequence[int] | None:
    need = spread_mib(
        wanted.worker_mib, wanted.workers, wanted.device_ids, each=wanted.each
    )
    fits = all(mib <= free[index] for index, mib in need.items())
    return wanted.device_ids if fits else None


def _chosen(
    wanted: Ask, free: dict[int, int], *, sticky: Collection[int]
) -> Sequence[int] | None:
    in_order = sorted(free, key=lambda one: (one not in sticky, free[one], one))
    for groups in range(min(wanted.workers, len(free) // wanted.each), 0, -1):
        need_mib = -(-wanted.workers // groups) * wanted.worker_mib
        fitting = [index for index in in_order if need_mib <= free[index]]
        if len(fitting) >= groups * wanted.each:
            return fitting[: groups * wanted.each]
    return None


def _too_large(
    wanted: Ask,
    devices: Sequence[Device],
    free: dict[int, int],
    tenants: Collection[Tenant],
) -> Misfit:
    ids = wanted.device_ids or tuple(free)
    workers = f"{wanted.workers} worker{'' if wanted.workers == 1 else 's'}"
    guessed = ", estimated" if wanted.is_estimated else ""
    needs = (
        f"{workers} of {wanted.tensors_mib}{guessed} + {wanted.context_mib} MiB each"
    )
    by_index = {device.index: device for device in devices}
    details = [needs]
    for index in ids:
        largest = sorted(tenants, key=lambda one: -one.device_mib.get(index, 0))[:3]
        held = ", ".join(
            f"{one.name}@{one.version} {one.device_mib[index]}"
            for one in largest
            if one.device_mib.get(index)
        )
        details.append(
            f"GPU {index}: {max(0, free[index])} of {by_index[index].total_mib} MiB "
            f"free to promise{f'; {held}' if held else ''}"
        )
    where = ", ".join(map(str, ids))
    return Misfit(
        reason=f"it does not fit on GPU {where}",
        details=tuple(details),
        hint=f"give {wanted.name} fewer workers, less maxGPUMemory, or another host",
    )
