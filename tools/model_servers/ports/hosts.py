"""What journeys need of a host: TorchServe, its model store, what it remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from model_servers.core.entries import Layout
    from model_servers.core.golden import GoldenCase, Request
    from model_servers.core.host import Installed, ServedVersion
    from model_servers.core.memory import Event, Memory
    from model_servers.core.names import Ref
    from model_servers.core.overlay import Overlay
    from model_servers.core.release import Release
    from model_servers.core.soak import Counts
    from model_servers.core.spec import Serving
    from model_servers.ports.stores import Chunks, OnBytes

NO_OVERLAY: Overlay = MappingProxyType({})
"""A model's own config as it is."""


class ModelServer(Protocol):
    """A running TorchServe."""

    address: str

    def served(self) -> dict[str, tuple[ServedVersion, ...]]:
        """Describe every registered version of every model."""

    def describe(self, name: str) -> tuple[ServedVersion, ...]:
        """Describe every registered version of one model; empty if there is none."""

    def register(self, ref: Ref) -> None:
        """Register the entry *ref* of the model store, without waiting for workers."""

    def scale(self, name: str, version: str, workers: int) -> None:
        """Ask for a number of workers."""

    def set_default(self, ref: Ref) -> None:
        """Let *ref* answer requests that name no version."""

    def unregister(self, name: str, version: str) -> None:
        """Take a version off the server; done if it is not there."""

    def predict(self, ref: Ref, request: Request) -> tuple[int, bytes]:
        """Send a request to exactly this version: HTTP status and body.

        Raises:
            OutsideError: the server that answers requests is not there.
        """


class ModelStore(Protocol):
    """The folder from which a TorchServe registers, and what stands behind it."""

    layout: Layout
    """How versions are laid out that come, or are restored."""

    def installed(self) -> dict[Ref, Installed]:
        """List the releases that are ready to be registered."""

    def missing_bytes(self, release: Release) -> int:
        """Say how many bytes of *release* no tree on this host has."""

    def needs_pip(
        self, release: Release, *, read_range: Callable[[int, int], bytes]
    ) -> bool:
        """Say whether this host lacks the packages that *release* requires.

        Raises:
            OutsideError: what it requires cannot be read from its archive.
        """

    def release(self, ref: Ref) -> Release | None:
        """Give the document of an installed release; None if it is not installed."""

    def room_bytes(self) -> int:
        """Say how many bytes more may come onto its disk.

        Raises:
            OutsideError: the disk cannot be asked.
        """

    def fetch(self, release: Release, *, chunks: Chunks, on_bytes: OnBytes) -> None:
        """Have the verified files of *release* on this host, where no server looks.

        Callable from several threads, for releases of different archives. What
        *chunks* and *on_bytes* raise ends it; interrupted, it goes on when run again.

        Raises:
            OutsideError: wrong bytes came, or the disk is full.
        """

    def install(
        self,
        release: Release,
        *,
        chunks: Chunks,
        on_bytes: OnBytes,
        overlay: Overlay = NO_OVERLAY,
    ) -> None:
        """Make *release* ready to be registered.

        Every member is verified before anything becomes visible. Interrupted, it
        leaves nothing that could be registered, and can be run again. A release
        that is on this host is not read again.

        Args:
            release: what the store says it is.
            chunks: reads its archive.
            on_bytes: called for what is read.
            overlay: what this host changes in its model config.

        Raises:
            OutsideError: wrong bytes came, the disk is full, or a requirement
                cannot be installed.
        """

    def restore(self, ref: Ref) -> None:
        """Lay out anew what runs of an installed release, if it cannot be loaded.

        Raises:
            OutsideError: its tree is damaged too, or the disk fails.
        """

    def forget(self, ref: Ref) -> None:
        """Take an installed release off the disk; done if it is not there."""

    def serving(self, ref: Ref) -> Serving:
        """Read what an installed release asks of TorchServe on this host.

        Raises:
            OutsideError: its files have rotted; so too below.
        """

    def released_serving(self, ref: Ref) -> Serving:
        """Read what it asks on any host."""

    def golden_cases(self, ref: Ref) -> list[GoldenCase]:
        """Read the golden cases of an installed release."""

    def mark_answered(self, ref: Ref) -> None:
        """Remember that *ref* has answered its golden requests on this host."""

    def load_error(self, ref: Ref) -> str | None:
        """Give the shared handler's own report of why *ref* could not be loaded."""

    def clear_load_error(self, ref: Ref) -> None:
        """Forget the report, before a new try."""


class HostMemory(Protocol):
    """What a host keeps beside its models, on its own disk."""

    def read(self) -> Memory:
        """Give what is remembered; nothing on a new host.

        Raises:
            OutsideError: it is damaged.
        """

    def write(self, memory: Memory) -> None:
        """Remember *memory*, and have TorchServe start with what it serves."""

    def write_boot(self, served: Mapping[str, tuple[str, ...]]) -> None:
        """Have TorchServe start with these versions, the defaults first."""

    def events(self) -> list[Event]:
        """Give what was done, oldest first."""

    def add(self, event: Event) -> None:
        """Add to what was done."""

    def show_ready(self, report: str | None) -> None:
        """Write the readiness file, or take it away; others wait for it."""


class RequestCounts(Protocol):
    """How a server's requests ended."""

    def counts(self) -> Counts | None:
        """Count them since its start; None if it does not tell."""
