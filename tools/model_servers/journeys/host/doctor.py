"""Look at a host from all sides; what does not answer is a fact, and no error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from model_servers.core.doctor import Folder
from model_servers.core.frontend import Frontend
from model_servers.core.gpus import Gpus, visible
from model_servers.core.host import HostState, ServedVersion
from model_servers.core.host_doctor import HostFacts
from model_servers.core.profile import HostProfile
from model_servers.errors import ModelServersError
from model_servers.journeys.host.admission import GpuProbe
from model_servers.journeys.host.prune import Prune
from model_servers.journeys.host.verify import Trees
from model_servers.ports import ModelServer, ModelStore, Store

T = TypeVar("T")


class Machine(Protocol):
    """What is asked of the machine beside TorchServe."""

    def folder(self) -> Folder:
        """Look at the model store."""

    def owner(self) -> str:
        """Name the user whose model store it is."""

    def user(self) -> str:
        """Name the user who runs this."""

    def lock_holder(self) -> str:
        """Name the process that is at work on it; empty if there is none."""

    def python_error(self) -> str:
        """Say why the Python of the workers cannot be run; empty if it can."""

    def config_error(self) -> str:
        """Say why TorchServe's config cannot be read; empty if it can."""

    def frontend(self) -> Frontend | None:
        """Give the TorchServe that registers from it, if it is seen."""

    def server_version(self) -> str:
        """Ask TorchServe for its version; empty if it does not tell."""


@dataclass(frozen=True, kw_only=True)
class LookAtHost:
    """Collects the facts; changes nothing."""

    profile: HostProfile
    server: ModelServer
    store: Store
    model_store: ModelStore
    trees: Trees
    prune: Prune
    probe: GpuProbe
    machine: Machine

    def run(self) -> HostFacts:
        """Give every fact, and why those are missing that are."""
        nothing: dict[str, tuple[ServedVersion, ...]] = {}
        served, server_error = _tried(self.server.served, nothing)
        _, store_error = _tried(lambda: self.store.stat("index.json"), None)
        pids = [pid for every in served.values() for one in every for pid in one.pids]
        mask = self.probe.mask(pids)
        gpus, gpu_error = _tried(self.probe.gpus, Gpus())
        folder = self.machine.folder()
        is_there = folder.free_bytes is not None
        return HostFacts(
            store=self.store.address,
            store_error=store_error,
            model_store=folder,
            owner=self.machine.owner(),
            user=self.machine.user(),
            layout=self.model_store.layout,
            lock_holder=self.machine.lock_holder(),
            prunable_bytes=self._prunable_bytes(served)
            if is_there and not server_error
            else 0,
            unrecorded_trees=len(self.trees.unrecorded()) if is_there else 0,
            python=self.profile.python,
            python_error=self.machine.python_error(),
            config=self.profile.config,
            config_error=self.machine.config_error(),
            management=self.profile.management,
            key_file=self.profile.key_file,
            server_error=server_error,
            server_version="" if server_error else self.machine.server_version(),
            served=served,
            frontend=self.machine.frontend(),
            gpus=visible(gpus, mask),
            gpu_error=gpu_error,
            mask=mask,
        )

    def _prunable_bytes(self, served: dict[str, tuple[ServedVersion, ...]]) -> int:
        observed = HostState(served=served, installed=self.model_store.installed())
        found = self.prune.find(
            observed, observed.installed, unsure=self.profile.models
        )
        return sum(one.size_bytes for one in found)


def _tried(ask: Callable[[], T], otherwise: T) -> tuple[T, str]:
    """Give the answer, or *otherwise* and why there is none."""
    try:
        return ask(), ""
    except ModelServersError as error:
        return otherwise, str(error)
