"""Hash what a host has unpacked, and mend what has rotted since."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from model_servers.core.names import Ref
from model_servers.core.release import Release
from model_servers.errors import ModelServersError
from model_servers.journeys.released_bytes import ReleasedBytes
from model_servers.ports import Chunks, OnBytes, Releases, Store


class Trees(Protocol):
    """The unpacked releases of a host."""

    def releases(self) -> list[Release]:
        """Give the release that each tree is, of those whose record can be read."""

    def unrecorded(self) -> list[tuple[str, Ref | None]]:
        """Give the digests of trees without a record, and what is served from them."""

    def record(self, release: Release) -> None:
        """Write the record of a tree anew."""

    def rotten(self, release: Release, *, on_bytes: OnBytes) -> list[str]:
        """Hash a tree and what runs in it; name the members that are wrong."""

    def mend(
        self,
        release: Release,
        rotten: Collection[str],
        *,
        elsewhere: Iterable[tuple[Release, Collection[str]]],
        chunks: Chunks,
        on_bytes: OnBytes,
    ) -> None:
        """Put rotten members right; OutsideError if that cannot be done now."""


class Watcher(Protocol):
    """Is told what happens, as it happens."""

    def checking(self, key: str, size_bytes: int) -> OnBytes:
        """A tree begins to be hashed; gives the callback for its bytes."""


@dataclass(frozen=True, kw_only=True)
class Rot:
    """What was wrong with one tree, and what became of it."""

    ref: str
    members: tuple[str, ...]
    fetched_bytes: int = 0
    error: str = ""
    """Why it is as it was; empty once it is mended."""

    hint: str = ""

    def to_mapping(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "ref": self.ref,
            "members": list(self.members),
            "mended": not self.error,
            "fetched_bytes": self.fetched_bytes,
            "error": self.error,
        }


@dataclass
class Report:
    """What a check has found."""

    checked: int = 0
    hashed_bytes: int = 0
    rots: list[Rot] = field(default_factory=list)

    @property
    def unmended(self) -> list[Rot]:
        """Give what is still wrong."""
        return [rot for rot in self.rots if rot.error]

    def to_mapping(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "checked": self.checked,
            "hashed_bytes": self.hashed_bytes,
            "rotten": [rot.to_mapping() for rot in self.rots],
        }


_ONLY_LOOKING = "nothing was changed"
_RECORD = "release.json"


@dataclass(frozen=True, kw_only=True)
class Verify:
    """The check of one host's trees. The store is asked only where one is wrong."""

    trees: Trees
    store: Store
    releases: Releases

    def run(self, watcher: Watcher, *, heal: bool = True) -> Report:
        """Hash every tree, then mend what is wrong, one tree after the other.

        What cannot be mended stops no other. Interrupted, it can be run again.
        """
        report = Report()
        self._records(report, heal=heal)
        rotten: dict[str, Collection[str]] = {}
        releases = self.trees.releases()
        for release in releases:
            rotten[release.archive.sha256] = self._hash(release, report, watcher)
        for release in releases:
            wrong = rotten[release.archive.sha256]
            if not wrong:
                continue
            rot = self._mend(release, wrong, releases, rotten) if heal else None
            report.rots.append(
                rot
                or Rot(ref=str(release.ref), members=tuple(wrong), error=_ONLY_LOOKING)
            )
            if rot is not None and not rot.error:
                rotten[release.archive.sha256] = ()
        return report

    def _hash(self, release: Release, report: Report, watcher: Watcher) -> list[str]:
        shown = watcher.checking(str(release.ref), release.archive.size_bytes)

        def on_bytes(count: int) -> None:
            report.hashed_bytes += count
            shown(count)

        report.checked += 1
        return self.trees.rotten(release, on_bytes=on_bytes)

    def _mend(
        self,
        release: Release,
        wrong: Collection[str],
        releases: list[Release],
        rotten: dict[str, Collection[str]],
    ) -> Rot:
        counts: list[int] = []
        error, hint = "", ""
        try:
            self.trees.mend(
                release,
                wrong,
                elsewhere=[
                    (other, rotten[other.archive.sha256])
                    for other in releases
                    if other is not release
                ],
                chunks=ReleasedBytes(self.store, release).chunks,
                on_bytes=counts.append,
            )
        except ModelServersError as caught:
            error, hint = str(caught), caught.hint
        return Rot(
            ref=str(release.ref),
            members=tuple(wrong),
            fetched_bytes=sum(counts),
            error=error,
            hint=hint,
        )

    def _records(self, report: Report, *, heal: bool) -> None:
        """Have the record of every tree that can be asked for."""
        for sha256, ref in self.trees.unrecorded():
            rot = Rot(ref=str(ref or sha256[:12]), members=(_RECORD,))
            error = _ONLY_LOOKING if not heal else self._record(sha256, ref)
            report.rots.append(
                Rot(ref=rot.ref, members=rot.members, error=error) if error else rot
            )

    def _record(self, sha256: str, ref: Ref | None) -> str:
        """Write a record anew; say why that cannot be done."""
        if ref is None:
            return "nothing is served from it; ms sync prune takes it away"
        try:
            release = self.releases.find(ref)
        except ModelServersError as error:
            return str(error)
        if release is None or release.archive.sha256 != sha256:
            return f"the store has no release {ref} with this digest"
        self.trees.record(release)
        return ""
