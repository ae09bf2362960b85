"""What NVIDIA's management library says of the GPUs here."""

from __future__ import annotations

import pynvml


def names() -> tuple[str, ...]:
    """Name every GPU, with its memory; none without a driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        return tuple(_name(index) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _name(index: int) -> str:
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(device)
    return f"{pynvml.nvmlDeviceGetName(device)} ({memory.total / 2**30:.0f} GiB)"
