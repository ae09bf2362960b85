"""What journeys need around releases and where they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from model_servers.core.names import Ref, Version
    from model_servers.core.objects import Leftover, Movable, Moved, Part, Stored
    from model_servers.core.release import Release
    from model_servers.core.segments import Run

OnBytes = Callable[[int], None]
"""Called with the number of bytes that have just been moved."""

Chunks = Callable[[int, int], Iterable[bytes]]
"""Yields the bytes of one archive as they arrive, by offset and length."""


class Announcements(Protocol):
    """Where people hear of releases."""

    def tags(self) -> set[str]:
        """List the tags that have been announced."""

    def announce(self, tag: str, *, commit: str, title: str, notes: str) -> None:
        """Announce a commit under a new tag; complete or not at all."""


class Content(Protocol):
    """The bytes of an object that is to be, wherever they are now."""

    @property
    def size_bytes(self) -> int:
        """How many there are."""

    def read(self, offset: int, length: int) -> bytes:
        """Give exactly these bytes; fewer if there are no more.

        Raises:
            OutsideError: they cannot be read, or have changed.
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
        """Give exactly *length* bytes of an object, like ``chunks``."""

    def chunks(
        self, key: str, offset: int, length: int, *, token: str | None = None
    ) -> Iterator[bytes]:
        """Yield exactly *length* bytes of an object as they arrive.

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

    def upload(self, key: str, content: Content, *, on_bytes: OnBytes) -> None:
        """Write a large object whose key names its content; done if it is there."""

    def compose(
        self, key: str, content: Content, parts: Sequence[Part], *, on_bytes: OnBytes
    ) -> Moved:
        """Write a large object like ``upload``, of parts that the store may hold.

        The ends of its parts have been read back and compared. Interrupted, it
        leaves no object.

        Args:
            key: names the content.
            content: the whole object.
            parts: what it is made of; those to be copied must be as in *content*.
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
        chunks: Chunks,
        on_bytes: OnBytes,
    ) -> Path:
        """Put the archive together, of what is *here* and what has to be read.

        Every byte is verified before the archive has its name. Interrupted, it
        leaves no archive, and goes on from there when it is run again.

        Raises:
            OutsideError: wrong bytes came, or the disk is full.
            RefusedError: another process is fetching the same release.
        """


class PassingArchive(Content, Protocol):
    """An archive on its way from one store into another; its bytes come when asked."""

    def missing_bytes(self, runs: Iterable[Run]) -> int:
        """Say how many bytes have to come for the segments of which *runs* has some."""

    def bring(self, runs: Iterable[Run], on_bytes: OnBytes) -> None:
        """Let all segments come of which *runs* has some, verified, several at a time.

        ``read`` brings what it needs too, but not so fast.

        Raises:
            OutsideError: wrong bytes came, or the disk is full.
        """


class PassingArchives(Protocol):
    """Where archives on their way into one store wait on this machine."""

    def opened(
        self, release: Release, here: Iterable[Release], *, chunks: Chunks
    ) -> AbstractContextManager[PassingArchive]:
        """Give an archive for a block, after which nothing of it is here.

        Interrupted, what has come stays, and the next run goes on from there.

        Args:
            release: whose archive it is.
            here: those whose archives are in the store, maybe on this machine.
            chunks: reads the archive.

        Raises:
            RefusedError: another process is at the same release.
        """

    def remove(self, ref: Ref) -> None:
        """Take away what an earlier run has left; done if there is nothing."""


class Releases(Protocol):
    """Reads releases out of a store, through their schema."""

    def versions(self, name: str) -> list[Version]:
        """List the released versions of a model, oldest first."""

    def find(self, ref: Ref) -> Release | None:
        """Give a release; None if the version is not released."""
