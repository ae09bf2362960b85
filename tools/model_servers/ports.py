"""What the journeys need of the world outside, in our words.

Every port promises which errors come out of it: ``OutsideError`` where the other
side fails, with a hint; adapters wrap everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from model_servers.core.checkpoint import CheckpointFacts
from model_servers.core.contribution import Contribution, Digests
from model_servers.core.golden import GoldenCase, Request
from model_servers.core.host import Installed, ServedVersion
from model_servers.core.layout import Member
from model_servers.core.memory import Event, Memory
from model_servers.core.names import Ref, Version
from model_servers.core.objects import Leftover, Movable, Moved, Part, Stored
from model_servers.core.overlay import Overlay
from model_servers.core.probe import ProbeOrder, ProbeReport
from model_servers.core.release import Archive, Release
from model_servers.core.site.pages import Catalogue
from model_servers.core.soak import Counts
from model_servers.core.spec import Serving

OnBytes = Callable[[int], None]
"""Called with the number of bytes that have just been moved."""

NO_OVERLAY: Overlay = MappingProxyType({})
"""A model's own config as it is."""


class Registry(Protocol):
    """The models of a checkout."""

    def names(self) -> list[str]:
        """List the models, by name."""

    def read(self, name: str) -> Contribution:
        """Read one model; RequestError if there is none of that name."""

    def digests(self, name: str, path: str) -> Digests:
        """Hash one file of a model."""

    def sha256(self, name: str, path: str) -> str:
        """Give the sha256 of one file; of weights elsewhere, what is declared."""

    def checkpoint(
        self, name: str, path: str, *, fetch: bool = True
    ) -> CheckpointFacts | None:
        """Say what one file of a model holds as a checkpoint; executes nothing.

        None of weights that are elsewhere: not those that are declared, or without
        *fetch*.
        """

    def path(self, name: str, path: str) -> Path:
        """Say where one file of a model is."""

    def commit(self) -> str | None:
        """Give the git commit of the checkout; None outside git."""


class HandlerProbe(Protocol):
    """Lets the shared handler load a model, away from this process."""

    def probe(self, order: ProbeOrder, *, locate: Callable[[str], Path]) -> ProbeReport:
        """Load a model of which *locate* finds the files, and say how that went.

        Raises:
            OutsideError: the disk cannot be written, or no process started.
        """

    def stop(self) -> None:
        """End what is running, and start nothing more."""


class BlobCache(Protocol):
    """Large files by their sha256, of which some are forgotten in time."""

    def find(self, sha256: str, size_bytes: int) -> Path | None:
        """Give a blob; None if it is not here."""

    def digests(self, path: Path) -> Digests:
        """Hash a blob."""

    def remove(self, sha256: str) -> None:
        """Forget a blob; done if it is not here."""

    def add(
        self, sha256: str, size_bytes: int, chunks: Iterable[bytes]
    ) -> tuple[Path | None, Digests]:
        """Take a blob in; None, and what came instead, if it is another."""


class ModelTexts(Protocol):
    """The documents of models as texts, which are edited in place."""

    def read(self, name: str, path: str) -> str:
        """Give a text with its line ends as they are; RequestError if it is none."""

    def parse(
        self, name: str, path: str, text: str
    ) -> tuple[Any, Mapping[str, tuple[int, int]]]:
        """Read strict YAML: value, places; RequestError names the file if it is none.

        Args:
            name: of the model.
            path: of the document.
            text: of the document, perhaps not yet written.
        """

    def replace(self, name: str, path: str, text: str) -> None:
        """Put *text* in the place of a file; complete, or as it was."""


class Stage(Protocol):
    """A model's directory before anybody can see it."""

    def write(self, path: str, content: str) -> None:
        """Write a text."""

    def copy(self, path: str, source: Path) -> Digests:
        """Copy a file, and give the digests of what was copied."""


class NewModels(Protocol):
    """Makes model directories in a checkout."""

    def staged(self, name: str) -> AbstractContextManager[Stage]:
        """Make a directory that becomes a model at the end of the block.

        Interrupted at any moment, it leaves nothing that looks like a model.

        Raises:
            RequestError: something of that name is there; it stays as it is.
            OutsideError: the disk cannot be written.
        """


class GoldenFiles(Protocol):
    """Writes golden cases of a checkout; a file is never half written."""

    def record(self, name: str, path: str, answer: Any) -> None:
        """Write the answer into the case at *path* of a model; the rest stays.

        Raises:
            OutsideError: YAML cannot hold the answer, or the disk failed.
        """

    def add(self, name: str, path: str, text: str, answer: Any) -> None:
        """Make a case out of a text without an answer and its answer.

        Raises:
            RequestError: a file of that name is there; it stays as it is.
            OutsideError: as above.
        """

    def add_body(self, name: str, path: str, body: bytes) -> None:
        """Make the file of a request; done if it is there with the same bytes."""


class History(Protocol):
    """The models as they were where a branch began."""

    @property
    def origin(self) -> str:
        """For people: ``at 1a2b3c4, the merge base with main``."""

    @property
    def registry(self) -> Registry:
        """The models as they were."""

    def changed(self) -> list[str]:
        """List the models that differ from it now, uncommitted changes included."""

    def deleted(self) -> list[str]:
        """List the models that are there no more."""


class Announcements(Protocol):
    """Where people hear of releases."""

    def tags(self) -> set[str]:
        """List the tags that have been announced."""

    def announce(self, tag: str, *, commit: str, title: str, notes: str) -> None:
        """Announce a commit under a new tag; complete or not at all."""


class ArchiveWriter(Protocol):
    """Writes archives: the same inputs give the same bytes."""

    def toolchain(self) -> Mapping[str, str]:
        """Name what decides about the bytes beside the inputs."""

    def member_digests(
        self,
        members: Sequence[Member],
        *,
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
    ) -> Mapping[str, Digests]:
        """Digest each member but the manifest as it would be written, by its path."""

    def write(
        self,
        target: Path,
        members: Sequence[Member],
        *,
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
        manifest: Callable[[str], Mapping[str, Any]],
    ) -> Archive:
        """Write an archive; *target* is complete or not there.

        Args:
            target: where to; an archive that is there is replaced.
            members: in the order of the archive.
            locate: finds a file of the model's directory.
            digests: gives the digests of one.
            manifest: makes the manifest, given the shared handler's digest.
        """


class Store(Protocol):
    """Where releases live: keys and bytes. Only a swap ever replaces anything."""

    address: str
    """For people: ``s3://bucket/prefix`` or ``file:///folder``."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with *prefix*, sorted."""

    def stat(self, key: str) -> Stored | None:
        """Say how large an object is; None if there is none."""

    def read(self, key: str) -> bytes | None:
        """Give a small object; None if there is none."""

    def read_movable(self, key: str) -> Movable | None:
        """Give a small object with the token that a swap wants."""

    def read_range(
        self, key: str, offset: int, length: int, *, token: str | None = None
    ) -> bytes:
        """Give exactly *length* bytes of an object.

        Args:
            key: of the object.
            offset: in the object.
            length: in bytes.
            token: what ``stat`` gave; other bytes are refused.

        Raises:
            OutsideError: the object is shorter, or is not the one of *token*.
        """

    def create(self, key: str, body: bytes) -> bool:
        """Write a small object if there is none; False, and no change, if there is.

        Of several that race for one key, exactly one is told True.
        """

    def swap(self, key: str, body: bytes, expected: str | None) -> bool:
        """Replace a small object if its token is *expected*; None: if there is none.

        Of several that expect the same, exactly one is told True; nothing changes
        for the others.
        """

    def upload(self, key: str, source: Path, *, on_bytes: OnBytes) -> None:
        """Write a large object whose key names its content; done if it is there."""

    def compose(
        self, key: str, source: Path, parts: Sequence[Part], *, on_bytes: OnBytes
    ) -> Moved:
        """Write a large object like ``upload``, of parts that the store may hold.

        The ends of its parts have been read back and compared. Interrupted, it
        leaves no object.

        Args:
            key: names the content.
            source: the whole object as a file.
            parts: what it is made of; those to be copied must be as in *source*.
            on_bytes: called for every part, however it moved.

        Returns:
            How the bytes moved; nothing moved if the object was there.
        """


class ProbedStore(Store, Protocol):
    """A store with what is needed to find out what it really does."""

    @property
    def comparison(self) -> str:
        """For people: how a swap says what it expects."""

    def takes_damaged(self, key: str, body: bytes) -> bool:
        """Write an object whose bytes change on their way; False if it is refused."""

    def delete(self, key: str) -> None:
        """Remove an object; done if there is none. Nothing released is removed."""

    def leftovers(self) -> list[Leftover]:
        """List what writers that were killed have left."""

    def abort(self, leftover: Leftover) -> None:
        """Take away what a writer has left; done if it is gone."""


class Journal(Protocol):
    """Lines that outlive a run, so that long work can go on where it stopped."""

    def lines(self) -> list[str]:
        """Give the lines, oldest first."""

    def add(self, line: str) -> None:
        """Write one more line."""

    def replace(self, lines: Iterable[str]) -> None:
        """Write exactly these lines; interrupted, the old ones are still there."""


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
        """Send a request to exactly this version: HTTP status and body."""


class ModelStore(Protocol):
    """The folder from which a TorchServe registers, and what stands behind it."""

    def installed(self) -> dict[Ref, Installed]:
        """List the releases that are ready to be registered."""

    def missing_bytes(self, release: Release) -> int:
        """Say how many bytes of *release* no tree on this host has."""

    def release(self, ref: Ref) -> Release | None:
        """Give the document of an installed release; None if it is not installed."""

    def install(
        self,
        release: Release,
        *,
        read_range: Callable[[int, int], bytes],
        on_bytes: OnBytes,
        overlay: Overlay = NO_OVERLAY,
    ) -> None:
        """Make *release* ready to be registered.

        Every member is verified before anything becomes visible. Interrupted, it
        leaves nothing that could be registered, and can be run again. A release
        that is on this host is not read again.

        Args:
            release: what the store says it is.
            read_range: reads its archive.
            on_bytes: called for what is read.
            overlay: what this host changes in its model config.

        Raises:
            OutsideError: wrong bytes came, the disk is full, or a requirement
                cannot be installed.
        """

    def forget(self, ref: Ref) -> None:
        """Take an installed release off the disk; done if it is not there."""

    def serving(self, ref: Ref) -> Serving:
        """Read what an installed release asks of TorchServe."""

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


class Archives(Protocol):
    """A folder of this machine with released archives."""

    def path(self, ref: Ref) -> Path:
        """Say where the archive of a release is, or would be."""

    def refs(self, name: str) -> list[Ref]:
        """List the archives of a model by their names, whatever is in them."""

    def is_whole(self, release: Release) -> bool:
        """Say whether the archive is here, byte for byte."""

    def missing_bytes(self, release: Release, here: Iterable[Release]) -> int:
        """Say how many bytes no archive of the releases *here* has, if whole."""

    def bring(
        self,
        release: Release,
        here: Iterable[Release],
        *,
        read_range: Callable[[int, int], bytes],
        on_bytes: OnBytes,
    ) -> Path:
        """Put the archive together, of what is *here* and what has to be read.

        Every byte is verified before the archive has its name. Interrupted, it
        leaves no archive, and goes on from there when it is run again.

        Raises:
            OutsideError: wrong bytes came, or the disk is full.
            RefusedError: another process is fetching the same release.
        """


class Releases(Protocol):
    """Reads releases out of a store, through their schema."""

    def versions(self, name: str) -> list[Version]:
        """List the released versions of a model, oldest first."""

    def find(self, ref: Ref) -> Release | None:
        """Give a release; None if the version is not released."""


class Pages(Protocol):
    """Writes the catalogue where people can read it."""

    def write(self, catalogue: Catalogue) -> None:
        """Write all pages; what was there before stays until they are complete.

        Raises:
            RefusedError: what is there is no catalogue.
            OutsideError: the disk cannot be written.
        """
