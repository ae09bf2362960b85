"""Builds what looks after a host: its GPUs, its disk, its keys, its checks."""

from __future__ import annotations

import os
from collections.abc import Sequence

from model_servers.cli.settings import Settings
from model_servers.cli.wire.hosts import model_store
from model_servers.cli.wire.stores import store
from model_servers.core.gpus import Gpus
from model_servers.core.profile import HostProfile
from model_servers.journeys.admission import Admit


class _Probe:
    """The GPUs of this machine, if there is a library to ask."""

    def gpus(self) -> Gpus:
        """Look at all of them."""
        try:
            from model_servers.adapters import nvml
        except ModuleNotFoundError:
            return Gpus(why_none="nvidia-ml-py is not installed")
        return nvml.gpus()

    def mask(self, pids: Sequence[int]) -> str | None:
        """Give what TorchServe was started with."""
        from model_servers.adapters import gpu_environment

        return gpu_environment.mask(pids, os.environ)


def admit(settings: Settings, host: HostProfile) -> Admit:
    """Give the admission to the GPUs of this machine."""
    from model_servers.adapters import released_config

    return Admit(
        probe=_Probe(),
        model_store=model_store(host),
        store=store(settings.store or host.store, endpoint_url=settings.endpoint_url),
        read_config=released_config.serving,
    )
