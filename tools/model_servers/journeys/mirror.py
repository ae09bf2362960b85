"""Copy releases into another store, verified on their way and never over anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from model_servers.core.index import Index
from model_servers.core.lifecycle import Notice
from model_servers.core.names import Ref, Version, why_not_a_name
from model_servers.core.objects import Moved, Sent
from model_servers.core.release import Release, released_refs
from model_servers.core.segments import Run
from model_servers.errors import RefusedError, RequestError
from model_servers.journeys import parallel
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.probe import refuse_unless_create_only
from model_servers.journeys.publish import release_archive
from model_servers.journeys.released_bytes import ReleasedBytes
from model_servers.journeys.reuse import parts_of
from model_servers.ports import (
    OnBytes,
    PassingArchives,
    ProbedStore,
    Releases,
    Store,
)

_RELEASES_LOOKED_AT = 8


class MirrorWatcher(Protocol):
    """Is told what happens while releases are copied."""

    def fetching(self, release: Release, size_bytes: int) -> OnBytes:
        """An archive comes; gives the callback for its bytes."""

    def uploading(self, release: Release) -> OnBytes:
        """An archive goes; gives the callback for its bytes."""

    def released(self, release: Release, moved: Moved) -> None:
        """A release is there; this is how its bytes came."""


@dataclass(frozen=True, kw_only=True)
class MirrorPlan:
    """What mirroring would do."""

    new: tuple[Release, ...]
    there: tuple[Release, ...]
    conflicts: tuple[Release, ...]
    """Released there with other bytes; nothing is written while there is one."""


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """Two stores, and what is released in them."""

    source: Store
    source_releases: Releases
    target: ProbedStore
    target_releases: Releases
    archives: PassingArchives
    """Where they are on their way."""

    def chosen(self, texts: Sequence[str]) -> list[Ref]:
        """Give the releases that ``cat`` or ``cat@1.0.0`` mean; all if none is named.

        Raises:
            RequestError: one is neither.
            RefusedError: some are not released.
        """
        if not texts:
            return released_refs(self.source.keys("models/"))
        refs: set[Ref] = set()
        missing: list[str] = []
        for text in texts:
            found = self._meant(text)
            refs.update(found)
            missing += [] if found else [text]
        if missing:
            raise RefusedError(
                f"not released in {self.source.address}: {', '.join(missing)}",
                hint="name what is, or another --store",
            )
        return sorted(refs)

    def plan(self, refs: Iterable[Ref]) -> MirrorPlan:
        """Compare the two stores; nothing is written."""
        here = parallel.each(self.source_releases.find, refs)
        releases = [one for one in here if one is not None]
        states = parallel.each(self._state, releases)
        pairs = list(zip(releases, states, strict=True))
        return MirrorPlan(
            new=tuple(one for one, state in pairs if state == "new"),
            there=tuple(one for one, state in pairs if state == "there"),
            conflicts=tuple(one for one, state in pairs if state == "conflict"),
        )

    def run(self, refs: Iterable[Ref], watcher: MirrorWatcher) -> MirrorPlan:
        """Copy what the target lacks; running it again finishes what was interrupted.

        Only segments come that the target lacks, and few more, with which what it
        copied is compared; all of them where it cannot copy. What has come is not
        fetched again. A release is there once its document is, which is written
        last. Notices go along; channels do not, they are moved by whoever owns the
        target.

        Raises:
            RefusedError: a version is there with other bytes, or the target
                overwrites what is there; nothing was written.
            OutsideError: an archive is damaged; the releases before it are there.
        """
        plan = self.plan(refs)
        if plan.conflicts:
            names = ", ".join(str(one.ref) for one in plan.conflicts)
            raise RefusedError(
                f"released in {self.target.address} with other bytes: {names}; nothing "
                "was written",
                hint="`ms fsck` of both stores tells which is damaged; if neither is, "
                "two releases have one name",
            )
        catalog = Catalog(store=self.target, releases=self.target_releases)
        if plan.new:
            refuse_unless_create_only(self.target, catalog)
        for release in plan.new:
            watcher.released(release, self._copied(release, watcher))
        for release in plan.there:
            self.archives.remove(release.ref)
        self._tell(catalog, [*plan.new, *plan.there])
        return plan

    def _meant(self, text: str) -> list[Ref]:
        if "@" not in text:
            reason = why_not_a_name(text)
            if reason is not None:
                raise RequestError(
                    f"{text!r} cannot name a model: {reason}",
                    hint="name models, or releases as NAME@VERSION",
                )
            return [Ref(text, one) for one in self.source_releases.versions(text)]
        try:
            ref = Ref.parse(text)
        except ValueError as error:
            raise RequestError(str(error), hint="such as digits@1.0.0") from error
        return [ref] if self.source_releases.find(ref) is not None else []

    def _state(self, release: Release) -> str:
        there = self.target_releases.find(release.ref)
        if there is None:
            return "new"
        if there.archive.sha256 != release.archive.sha256:
            return "conflict"
        stored = self.target.stat(there.key)
        is_whole = stored and stored.size_bytes == release.archive.size_bytes
        return "there" if is_whole else "new"

    def _copied(self, release: Release, watcher: MirrorWatcher) -> Moved:
        source = ReleasedBytes(self.source, release)
        store, releases = self.target, self.target_releases
        with self.archives.opened(
            release, self._lenders(release), chunks=source.chunks
        ) as archive:
            parts = parts_of(release, archive, store=store, releases=releases)
            sent = [
                Run(part.offset, part.length)
                for part in parts
                if isinstance(part, Sent)
            ]
            missing_bytes = archive.missing_bytes(sent)
            archive.bring(sent, watcher.fetching(release, missing_bytes))
            return release_archive(
                release,
                archive,
                parts,
                store=store,
                releases=releases,
                on_bytes=watcher.uploading(release),
            )

    def _lenders(self, release: Release) -> Iterator[Release]:
        """Find releases of the model whose archives in the target have its bytes."""
        yield release
        ref = release.ref
        versions = sorted({*self.target_releases.versions(ref.name)} - {ref.version})
        for version in islice(reversed(versions), _RELEASES_LOOKED_AT):
            other = self.target_releases.find(Ref(ref.name, version))
            if other is not None:
                yield other

    def _tell(self, catalog: Catalog, releases: Iterable[Release]) -> None:
        """Enter releases into the target's index, with what is said of them."""
        source = Catalog(store=self.source, releases=self.source_releases)
        said = source.read() or Index()
        known = catalog.read() or Index()
        by_model: dict[str, dict[Version, Notice | None]] = {}
        for release in releases:
            ref = release.ref
            if ref not in known.entries or said.notice(ref) != known.notice(ref):
                by_model.setdefault(ref.name, {})[ref.version] = said.notice(ref)
        for name, notices in by_model.items():
            before = catalog.add(name).of_model(name)
            after = {one: entry.notice for one, entry in before.items()} | notices
            kept = {one: notice for one, notice in after.items() if notice is not None}
            catalog.note({name: kept})
