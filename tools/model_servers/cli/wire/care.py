"""Builds what looks after a host: its GPUs, its disk, its keys, its checks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli.settings import Settings
from model_servers.cli.wire.hosts import (
    diary,
    model_store,
    model_store_path,
    python_of,
    sync,
)
from model_servers.cli.wire.stores import host_store

if TYPE_CHECKING:
    from model_servers.core.gpus import Gpus
    from model_servers.core.profile import HostProfile
    from model_servers.journeys.host.doctor import LookAtHost
    from model_servers.journeys.host.planning import Planning
    from model_servers.journeys.host.prune import Prune
    from model_servers.journeys.host.sync import Sync
    from model_servers.journeys.host.verify import Verify


class _Probe:
    """The GPUs of this machine, if there is a library to ask."""

    def gpus(self) -> Gpus:
        """Look at all of them."""
        from model_servers.core.gpus import Gpus

        try:
            from model_servers.adapters import nvml
        except ModuleNotFoundError:
            return Gpus(why_none="nvidia-ml-py is not installed")
        return nvml.gpus()

    def mask(self, pids: Sequence[int]) -> str | None:
        """Give what TorchServe was started with."""
        from model_servers.adapters import gpu_environment

        return gpu_environment.mask(pids, os.environ)


def planning(host: HostProfile, journey: Sync) -> Planning:
    """Give the planning of what a sync journey does, within this machine's GPUs."""
    from model_servers.adapters import capacity, released_config
    from model_servers.journeys.host.admission import Admit
    from model_servers.journeys.host.planning import Planning

    return Planning(
        sync=journey,
        admit=Admit(
            probe=_Probe(),
            model_store=journey.model_store,
            archives=journey.archives,
            read_config=released_config.serving,
            machine=capacity.machine(),
            headroom_mib=host.policy.memory_headroom_mib,
        ),
    )


def verify(settings: Settings, host: HostProfile) -> Verify:
    """Give the check of what this host has unpacked."""
    from model_servers.adapters.releases import StoredReleases
    from model_servers.adapters.trees import LocalTrees
    from model_servers.journeys.host.verify import Verify

    at = host_store(settings, host)
    return Verify(
        trees=LocalTrees(model_store_path(host), python=python_of(host)),
        store=at,
        releases=StoredReleases(at),
    )


def prune(host: HostProfile, *, temp: Path | None) -> Prune:
    """Give the pruning of this host's disk."""
    from model_servers.adapters.leftovers import LocalLeftovers
    from model_servers.journeys.host.prune import Prune

    return Prune(
        leftovers=LocalLeftovers(
            model_store_path(host), layout=host.layout, temp=temp, now_s=time.time()
        ),
        model_store=model_store(host),
        memory=diary(host).memory,
    )


def write_metrics(file: Path, text: str) -> None:
    """Write metrics for a collector of text files."""
    from model_servers.adapters import metrics_out

    metrics_out.write(file, text)


def metrics_port(port: int, text: Callable[[], str]) -> AbstractContextManager[int]:
    """Give a port that tells metrics, to be entered."""
    from model_servers.adapters import metrics_out

    return metrics_out.served(port, text)


def look_at_host(settings: Settings, host: HostProfile) -> LookAtHost:
    """Give what collects the facts about this host."""
    from model_servers.adapters.host_machine import HostMachine
    from model_servers.adapters.trees import LocalTrees
    from model_servers.journeys.host.doctor import LookAtHost

    journey = sync(settings, host)
    path = model_store_path(host)
    return LookAtHost(
        profile=host,
        server=journey.server,
        store=journey.store,
        model_store=journey.model_store,
        trees=LocalTrees(path, python=python_of(host)),
        prune=prune(host, temp=None),
        probe=_Probe(),
        machine=HostMachine(
            path,
            management=host.management,
            python=python_of(host),
            config=host.config,
        ),
    )
