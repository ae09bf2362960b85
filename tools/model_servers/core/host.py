"""The state of one GPU host: what it serves, what it has installed, what it should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from model_servers.core.entries import Layout
from model_servers.core.memory import Pin
from model_servers.core.names import Ref
from model_servers.core.overlay import DEVICE_IDS, DEVICE_TYPE, Overlay
from model_servers.core.profile import Update
from model_servers.core.release import Release
from model_servers.core.spec import Serving


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What one model should be served as."""

    default: Release
    also: tuple[Release, ...] = ()
    """Served beside the default, for requests that name their version."""

    overlay: Overlay = field(default_factory=dict)
    """What this host changes in the model configs of them all."""

    placed: Mapping[Ref, Overlay] = field(default_factory=dict)
    """What it changes in that of one version: the GPUs that it is admitted to."""

    layout: Layout = Layout.DIR
    """In which TorchServe finds them all."""

    update: Update = Update.AUTO
    held_back: tuple[Pin, ...] = ()
    """Asked for beside the default, and left out: they failed on this host."""

    why: str = ""
    """Where the version comes from, if not from its number: ``stable``, a pin."""

    @property
    def releases(self) -> tuple[Release, ...]:
        """All that should be served, the default first."""
        return (self.default, *self.also)

    def overlay_of(self, ref: Ref, installed: Installed | None) -> Overlay:
        """Give all that this host changes in the model config of one version.

        GPUs that were chosen when it came stay, until others are.
        """
        own = {**self.overlay, **self.placed.get(ref, {})}
        chosen = None if installed is None else installed.overlay.get(DEVICE_IDS)
        if chosen is None or DEVICE_IDS in own or own.get(DEVICE_TYPE) == "cpu":
            return own
        return {**own, DEVICE_IDS: chosen}


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a model is left as it is, though something else was asked for."""

    reason: str
    hint: str = ""


Desired = Mapping[str, Wanted | Refusal]
"""What each model, by name, should be served as; or why nobody can say."""


def wanted_releases(desired: Desired) -> dict[Ref, Release]:
    """Give every release that should be served."""
    return {
        release.ref: release
        for one in desired.values()
        if isinstance(one, Wanted)
        for release in one.releases
    }


@dataclass(frozen=True, kw_only=True)
class ServedVersion:
    """One registered version, as TorchServe describes it."""

    version: str
    """As TorchServe knows it; versions registered by others can be any text."""

    location: str
    """What it was registered from: a name in the model store, or a URL."""

    is_default: bool
    workers_ready: int
    workers: int
    """Those that should run: at least one on every version that is of use."""

    batch_size: int
    max_batch_delay_ms: int
    response_timeout_s: int
    pending_requests: int
    """Accepted, and waiting for a worker."""

    pids: tuple[int, ...] = ()
    """Of the workers; a crashing worker shows a new one at every try."""

    device: str = "cpu"
    """Where the workers are: ``cpu`` or ``gpu``."""

    device_ids: tuple[int, ...] = ()
    """The GPUs that TorchServe was told to use; empty where it chose itself."""

    @property
    def is_ready(self) -> bool:
        """All workers are up, and there is one at least."""
        return 0 < self.workers == self.workers_ready

    def ignored_settings(self, asked: Serving) -> list[str]:
        """Say which settings TorchServe did not take; it does not say so itself."""
        pairs = {
            "batchSize": (asked.batch_size, self.batch_size),
            "maxBatchDelay": (asked.max_batch_delay_ms, self.max_batch_delay_ms),
            "responseTimeout": (asked.response_timeout_s, self.response_timeout_s),
            "minWorkers": (asked.min_workers, self.workers),
        }
        return [
            f"{key} is {found}, model-config.yaml asks for {wanted}"
            for key, (wanted, found) in pairs.items()
            if wanted is not None and wanted != found
        ]


@dataclass(frozen=True, kw_only=True)
class Installed:
    """One release on the host's disk, ready to be registered."""

    sha256: str
    """Of its archive."""

    answered: bool
    """Its golden requests have been answered rightly on this host."""

    overlay: Overlay = field(default_factory=dict)
    """What this host has changed in its model config."""

    layout: Layout = Layout.DIR
    """In which it is there; if in both, the one that the host profile asks for."""


@dataclass(frozen=True, kw_only=True)
class HostState:
    """What was observed."""

    served: Mapping[str, tuple[ServedVersion, ...]] = field(default_factory=dict)
    """The registered versions of each model name."""

    installed: Mapping[Ref, Installed] = field(default_factory=dict)

    def find(self, ref: Ref) -> ServedVersion | None:
        """Give the registered version that *ref* names."""
        for version in self.served.get(ref.name, ()):
            if version.version == str(ref.version):
                return version
        return None

    def managed(self) -> set[str]:
        """Name the models that this tool put on the server."""
        entries = {one.entry(ref) for ref in self.installed for one in Layout}
        return {
            name
            for name, versions in self.served.items()
            if any(version.location in entries for version in versions)
        }
