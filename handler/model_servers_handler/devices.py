"""The device that a worker takes, its bounds and its loss; torch's switches."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_servers_handler.errors import LoadError
from model_servers_handler.options import Options

logger = logging.getLogger("model_servers.handler")


@dataclass(frozen=True)
class Device:
    """Where this worker's model runs."""

    index: int | None = None
    """Of the GPU, None for the CPU."""

    limit_mib: float | None = None

    @property
    def is_gpu(self) -> bool:
        """Whether it is a GPU."""
        return self.index is not None

    @property
    def name(self) -> str:
        """As torch calls it."""
        return "cpu" if self.index is None else f"cuda:{self.index}"

    def report(self) -> dict[str, Any]:
        """Tell the device and, in MB of 2^20 bytes, this worker's memory on it."""
        if self.index is None:
            return {"device": self.name}
        from torch import cuda

        return {
            "device": self.name,
            "memoryLimitMB": self.limit_mib,
            "memoryAllocatedMB": round(cuda.memory_allocated(self.index) / 2**20, 1),
            "memoryReservedMB": round(cuda.memory_reserved(self.index) / 2**20, 1),
            "memoryPeakMB": round(cuda.max_memory_reserved(self.index) / 2**20, 1),
        }

    def is_lost_after(self, trouble: str | None) -> bool:
        """Whether nothing more can run on it; frees what a failure left behind.

        An error of CUDA may stick to the process or not; only trying tells.
        """
        if self.index is None:
            return False
        from torch import cuda

        try:
            cuda.synchronize(self.index)
            if trouble == "memory":
                cuda.empty_cache()
        except RuntimeError:
            return True
        return False


def take_device(gpu_id: int | None, options: Options) -> Device:
    """Choose the device, and bound what this process can allocate on it.

    The bound holds for the tensors of this process: the caching allocator's
    segments. CUDA's context, its kernels and other libraries' own memory, a few
    hundred MB, come on top.

    Raises:
        LoadError: a GPU is asked for and there is none.
    """
    if gpu_id is None:
        if options.device_type == "gpu":
            raise LoadError(
                "model-config.yaml has deviceType gpu, and TorchServe found no GPU on"
                " this host; run it on one, or use deviceType cpu"
            )
        return Device()
    from torch import cuda

    if not cuda.is_available():
        return _without_cuda(gpu_id, options)
    # Before anything touches CUDA: a context on GPU 0 costs hundreds of MB there.
    cuda.set_device(gpu_id)
    if options.max_gpu_memory_mib is not None:
        total = cuda.get_device_properties(gpu_id).total_memory
        fraction = memory_fraction(options.max_gpu_memory_mib, total)
        cuda.set_per_process_memory_fraction(fraction, gpu_id)
    return Device(gpu_id, options.max_gpu_memory_mib)


def _without_cuda(gpu_id: int, options: Options) -> Device:
    import torch

    found = f"TorchServe gave this worker GPU {gpu_id}, and torch {torch.__version__}"
    if options.device_type == "gpu":
        raise LoadError(f"{found} can use none; install a torch built for this GPU")
    logger.warning("%s can use none; the model runs on the CPU", found)
    return Device()


def memory_fraction(limit_mib: float, total_bytes: int) -> float:
    """Give the share of a device that is *limit_mib* of 2^20 bytes, at most all."""
    return min(1.0, limit_mib * 2**20 / total_bytes)


def set_up_torch(options: Options) -> None:
    """Set the process-wide switches of torch that were asked for."""
    if options.torch_threads:
        import torch

        torch.set_num_threads(options.torch_threads)
    if options.matmul_precision:
        import torch

        torch.set_float32_matmul_precision(options.matmul_precision)


def autocast(device: Device, dtype: str | None) -> Any:
    """Run the model in a lower precision, if asked for."""
    if dtype is None:
        return contextlib.nullcontext()
    import torch

    return torch.autocast("cuda" if device.is_gpu else "cpu", getattr(torch, dtype))


def compiled(model: Any, arguments: bool | Mapping[str, Any]) -> Any:  # noqa: FBT001
    """Compile the model; the first call is slow, so give an example to warm it up."""
    import torch

    return torch.compile(model, **(arguments if isinstance(arguments, Mapping) else {}))
