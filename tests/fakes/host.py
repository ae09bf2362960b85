"""A host whose server is a fake, and which is otherwise as real as can be."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fakes.server import FakeServer
from fakes.store import MemoryStore
from fakes.watcher import Quiet
from model_servers.adapters import nvml, released_config
from model_servers.adapters.channels import read_pointer
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.host_memory import FileHostMemory
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.model_store import LocalModelStore
from model_servers.adapters.releases import StoredReleases
from model_servers.core.changes import Action, Change, Plan
from model_servers.core.crowding import Machine
from model_servers.core.entries import Layout
from model_servers.core.guards import Override
from model_servers.core.host import Desired
from model_servers.core.names import Ref, Version
from model_servers.core.profile import Policy, WantedModel
from model_servers.core.release import Release
from model_servers.core.soak import Counts
from model_servers.errors import ModelServersError
from model_servers.journeys.build import Build
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.channels import Channels
from model_servers.journeys.host.acting import Verdict
from model_servers.journeys.host.admission import Admit
from model_servers.journeys.host.diary import Diary
from model_servers.journeys.host.planning import Planning
from model_servers.journeys.host.resolve import Resolve, Resolved
from model_servers.journeys.host.sync import Sync
from model_servers.journeys.publish import Publish
from zoo import make_model


class CrashError(Exception):
    """The tool is gone in the middle of its work; no error of ours."""


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def now(self) -> str:
        return f"{self.now_s:.1f}"


class Recorder:
    """A watcher that remembers what it was told, and can crash the tool."""

    def __init__(self) -> None:
        self.started: list[Action] = []
        self.done_: list[Action] = []
        self.verdicts: list[Verdict] = []
        self.failures: dict[str, ModelServersError] = {}
        self.fetched_bytes = 0
        self.fetched_: list[Ref] = []
        self.boundaries = 0
        self.crash_at: int | None = None
        self._lock = threading.Lock()

    def starts(self, action: Action) -> None:
        self._boundary()
        self.started.append(action)

    def fetching(self, release: Release, size_bytes: int) -> Callable[[int], None]:
        def on_bytes(count: int) -> None:
            with self._lock:
                self.fetched_bytes += count

        return on_bytes

    def fetched(self, release: Release, *, is_whole: bool) -> None:
        if is_whole:
            self.fetched_.append(release.ref)

    def done(self, change: Change, action: Action, seconds: float) -> None:
        self.done_.append(action)
        self._boundary()

    def answered(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def failed(self, change: Change, error: ModelServersError) -> None:
        self.failures[change.name] = error

    def _boundary(self) -> None:
        self.boundaries += 1
        if self.boundaries == self.crash_at:
            raise CrashError


class Metrics:
    """Metrics of a server, as they were written down before."""

    def __init__(self, counts: list[Counts]) -> None:
        self._counts = counts

    def counts(self) -> Counts | None:
        if len(self._counts) > 1:
            return self._counts.pop(0)
        return self._counts[0] if self._counts else None


class Probe:
    """The GPUs that NVML shows, and TorchServe's environment."""

    def __init__(self) -> None:
        self.variable: str | None = None

    gpus = staticmethod(nvml.gpus)

    def mask(self, pids: object) -> str | None:
        return self.variable


Models = Mapping[str, "str | Mapping[str, Any]"]
"""What stands below ``models:`` in a host profile."""


@dataclass
class Host:
    """A host with its store, and a registry that publishes into it."""

    folder: Path
    clock: Clock
    layout: Layout = Layout.DIR
    config: Path | None = None
    """TorchServe's, if there is one."""

    store: MemoryStore = field(default_factory=MemoryStore)
    policy: Policy = field(default_factory=Policy)
    counts: list[Counts] = field(default_factory=list)
    """What TorchServe's metrics will say, one after the other; the last one stays."""

    def __post_init__(self) -> None:
        self.root = self.folder / "model_store"
        self.root.mkdir(parents=True, exist_ok=True)
        self.server = FakeServer(self.root, layout=self.layout)
        self.model_store = LocalModelStore(
            self.root, python=sys.executable, layout=self.layout
        )
        self.memory = FileHostMemory(self.root, config=self.config, layout=self.layout)
        releases = StoredReleases(self.store)
        catalog = Catalog(store=self.store, releases=releases)
        self.channels = Channels(
            store=self.store, catalog=catalog, read_pointer=read_pointer
        )
        self.sync = Sync(
            server=self.server,
            model_store=self.model_store,
            store=self.store,
            releases=releases,
            resolve=Resolve(
                store=self.store,
                releases=releases,
                channels=self.channels,
                model_store=self.model_store,
                update=self.policy.update,
            ),
            diary=Diary(memory=self.memory, now=self.clock.now, who="ann@host"),
            counts=Metrics(self.counts),
            policy=self.policy,
        )

    def relaid(self, layout: Layout) -> Host:
        """Give this host, with the same server, under a profile with this layout."""
        again = replace(self, layout=layout)
        again.server = self.server
        again.server.registers(layout)
        again.sync = replace(again.sync, server=self.server)
        return again

    @property
    def planning(self) -> Planning:
        """Planning on this host, which has no GPU unless NVML shows one."""
        admit = Admit(
            probe=Probe(),
            model_store=self.model_store,
            archives=self.sync.archives,
            read_config=released_config.serving,
            machine=Machine(cores=2, memory_mib=4000),
        )
        return Planning(sync=self.sync, admit=admit)

    def publish(self, ref: Ref, **model: object) -> None:
        """Release a model; its golden case sends ``[1, 2]`` and wants it back."""
        registry = self.folder / "registry" / str(ref)
        make_model(registry, ref.name, version=str(ref.version), **model)  # type: ignore[arg-type]
        build = Build(registry=Checkout(registry), writer=MarWriter())
        releases = StoredReleases(self.store)
        Publish(build=build, store=self.store, releases=releases).run(
            [build.recipe(ref.name)], Quiet()
        )

    def point(self, channel: str, **versions: str) -> None:
        """Let a channel point to versions of models."""
        wanted = {
            name: {channel: Version.parse(version)}
            for name, version in versions.items()
        }
        self.channels.publish(wanted)

    def resolve(self, models: Models, *allow: Override) -> Resolved:
        """Find what a profile with these models means."""
        wanted = {name: WantedModel.of(one) for name, one in models.items()}
        return self.sync.resolved(wanted, allow=set(allow))

    def plan(self, models: Models, *allow: Override) -> tuple[Plan, Desired]:
        desired = self.resolve(models, *allow).desired
        return self.sync.plan(desired, allow=set(allow)), desired

    def apply(
        self, models: Models, recorder: Recorder | None = None, *allow: Override
    ) -> Recorder:
        """Plan and apply as `ms sync apply` does."""
        recorder = recorder or Recorder()
        resolved = self.resolve(models, *allow)
        plan = self.sync.plan(resolved.desired, allow=set(allow))
        self.sync.apply(plan, resolved, recorder)
        return recorder

    def state(self) -> dict[str, tuple[str | None, list[str]]]:
        """Give the default and all versions of each model on the server."""
        return {
            name: (self.server.default(name), self.server.versions(name))
            for name in ("cat", "dog")
            if self.server.versions(name)
        }
