"""What journeys need around the models of a checkout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from model_servers.core.checkpoint import CheckpointFacts
    from model_servers.core.contribution import Contribution, Digests
    from model_servers.core.layout import Member
    from model_servers.core.objects import Begun, Chunk
    from model_servers.core.probe import ProbeOrder, ProbeReport
    from model_servers.core.release import Archive
    from model_servers.core.site.pages import Catalogue
    from model_servers.ports.stores import Content


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
        self, sha256: str, size_bytes: int, source: Callable[[Begun], Iterable[Chunk]]
    ) -> tuple[Path | None, Digests]:
        """Take a blob in; None, and what came instead, if it is another.

        Interrupted, the next call goes on with what has come: the source is told.
        """


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

    def content(
        self,
        members: Sequence[Member],
        *,
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
        manifest: Callable[[str], Mapping[str, Any]],
    ) -> tuple[Archive, Content]:
        """Describe an archive without writing it, and give its bytes.

        The arguments are those of ``write``.
        """

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


class Pages(Protocol):
    """Writes the catalogue where people can read it."""

    def write(self, catalogue: Catalogue) -> None:
        """Write all pages; what was there before stays until they are complete.

        Raises:
            RefusedError: what is there is no catalogue.
            OutsideError: the disk cannot be written.
        """
