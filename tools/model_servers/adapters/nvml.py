"""What NVIDIA's management library says of the GPUs here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pynvml

from model_servers.core.gpus import MEND, Device, Gpus
from model_servers.errors import OutsideError

_MIB = 2**20

_ABSENT = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
"""What it answers where there is no GPU to be used, and nothing is broken."""


def names() -> tuple[str, ...]:
    """Name every GPU, with its memory; none without a driver."""
    try:
        found = gpus()
    except OutsideError:
        return ()
    return tuple(
        f"{device.name} ({device.total_mib / 1024:.0f} GiB)" for device in found.devices
    )


def gpus() -> Gpus:
    """Look at every GPU; none, with the reason, on a machine without a driver.

    CUDA_VISIBLE_DEVICES means nothing to this library: these are the driver's own
    numbers, which are CUDA's with CUDA_DEVICE_ORDER=PCI_BUS_ID.

    Raises:
        OutsideError: there is a driver, and it fails.
    """
    try:
        with _library():
            count = pynvml.nvmlDeviceGetCount()
            devices = tuple(_device(index) for index in range(count))
    except pynvml.NVMLError as error:
        if error.value in _ABSENT:
            return Gpus(why_none=f"NVML says {error}")
        raise _failed("the GPUs", error) from error
    return Gpus(devices=devices, why_none="" if devices else "the driver shows none")


@contextmanager
def _library() -> Iterator[None]:
    pynvml.nvmlInit()
    try:
        yield
    finally:
        pynvml.nvmlShutdown()


def _failed(what: str, error: pynvml.NVMLError) -> OutsideError:
    return OutsideError(f"NVML cannot tell about {what}: {error}", hint=MEND)


def _device(index: int) -> Device:
    """Look at one GPU; without it, nobody knows what CUDA calls the others."""
    try:
        return _seen(index)
    except pynvml.NVMLError as error:
        raise _failed(f"GPU {index}", error) from error


def _seen(index: int) -> Device:
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(device)
    return Device(
        index=index,
        name=pynvml.nvmlDeviceGetName(device),
        uuid=pynvml.nvmlDeviceGetUUID(device),
        total_mib=memory.total // _MIB,
        free_mib=memory.free // _MIB,
        processes=_processes(device),
        is_mig=_is_mig(device),
    )


def _processes(device: object) -> dict[int, int]:
    """Give what processes hold; nothing where the driver does not tell."""
    try:
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(device)
    except pynvml.NVMLError:
        return {}
    # Under some virtualisation a process is shown without what it holds.
    return {one.pid: (one.usedGpuMemory or 0) // _MIB for one in running}


def _is_mig(device: object) -> bool:
    try:
        current, _ = pynvml.nvmlDeviceGetMigMode(device)
    except pynvml.NVMLError:
        return False  # a GPU that cannot be cut
    return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)
