"""Check a store: hash what is in it, and make its index anew. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from model_servers.core.channels import channel_key, channel_names
from model_servers.core.fsck import (
    Fault,
    Orphan,
    Report,
    Rounds,
    checkpoint_digests,
    journal_line,
    unreferenced,
)
from model_servers.core.index import INDEX_KEY, Index
from model_servers.core.names import Ref
from model_servers.core.release import Release, release_key, released_refs
from model_servers.core.segments import Segment
from model_servers.errors import OutsideError, RequestError
from model_servers.journeys import parallel
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.channels import Channels
from model_servers.journeys.contents import sha256
from model_servers.ports import Journal, OnBytes, ProbedStore, Releases

Documents = Mapping[Ref, "Release | str"]
"""Each release, or what is wrong with its document."""


class CheckWatcher(Protocol):
    """Is told what happens while a store is checked."""

    def checking(self, key: str, size_bytes: int) -> OnBytes:
        """An object is read; gives the callback for its bytes."""

    def found(self, fault: Fault) -> None:
        """An object is not what it should be."""


@dataclass(frozen=True, kw_only=True)
class Fsck:
    """The check of one store."""

    store: ProbedStore
    releases: Releases
    channels: Channels
    journal: Journal
    """Remembers what was found to be right, so that a check can go on."""

    blake3_of: Callable[[Iterable[bytes]], str]

    def run(self, watcher: CheckWatcher, *, sample: int | None = None) -> Report:
        """Check everything that this round still lacks, or a sample.

        Interrupted anywhere, the next run goes on where this one stopped; what was
        wrong is looked at again. What others publish meanwhile may look like an
        orphan, as long as it is not released.
        """
        keys = list(self.store.keys(""))
        documents = self._documents(released_refs(keys))
        by_key = {release_key(ref): ref for ref in documents}
        checkpoints = checkpoint_digests(keys)
        units = [*by_key, *checkpoints]
        rounds = Rounds.parse(self.journal.lines()).of(units)
        number, wanted = rounds.current(units), rounds.next(units, sample)
        self.journal.replace(rounds.lines())
        tally = _Tally(watcher)
        for key in wanted:
            if key in by_key:
                found = self._release(by_key[key], documents[by_key[key]], tally)
            else:
                found = self._object(key, checkpoints[key], tally)
            if not tally.add(found):
                self.journal.add(journal_line(number, key))
        index_was_rebuilt = self._rebuild(documents, tally)
        for name in channel_names(keys):
            tally.add(self._channel(name, documents))
        return Report(
            checked=len(wanted),
            remaining=len(units) - len(wanted) if sample is not None else 0,
            index_was_rebuilt=index_was_rebuilt,
            hashed_bytes=tally.hashed_bytes,
            faults=tuple(tally.faults),
            orphans=tuple(self._orphans(keys, documents)),
            leftovers=tuple(self.store.leftovers()),
        )

    def _documents(self, refs: list[Ref]) -> Documents:
        return dict(zip(refs, parallel.each(self._document, refs), strict=True))

    def _document(self, ref: Ref) -> Release | str:
        try:
            release = self.releases.find(ref)
        except RequestError as error:
            return str(error)
        except OutsideError:
            self.store.read(release_key(ref))  # which fails too if the store is away
            try:
                release = self.releases.find(ref)
            except OutsideError as error:
                return str(error)
        if release is None:
            return "it was there and then it was not"
        return release if release.ref == ref else f"it says that it is {release.ref}"

    def _release(
        self, ref: Ref, release: Release | str, tally: _Tally
    ) -> Iterator[Fault]:
        if isinstance(release, str):
            yield Fault(release_key(ref), release)
            return
        archive = release.archive
        for fault in self._object(
            release.key, archive.sha256, tally, size_bytes=archive.size_bytes
        ):
            yield self._placed(fault, release)

    def _object(
        self, key: str, digest: str, tally: _Tally, *, size_bytes: int | None = None
    ) -> Iterator[Fault]:
        """Compare an object with what it should be."""
        stored = self.store.stat(key)
        if stored is None:
            yield Fault(key, "it is not there, and a release needs it")
            return
        if size_bytes not in (None, stored.size_bytes):
            yield Fault(key, f"it has {stored.size_bytes} bytes, expected {size_bytes}")
            return
        on_bytes = tally.reading(key, stored.size_bytes)
        found = sha256(self.store, key, stored, on_bytes=on_bytes)
        if found != digest:
            yield Fault(key, f"its sha256 is {found}, expected {digest}")

    def _placed(self, fault: Fault, release: Release) -> Fault:
        """Say also where an archive is not what it should be."""
        stored = self.store.stat(fault.key)
        if stored is None or stored.size_bytes != release.archive.size_bytes:
            return fault
        for member in release.archive.members:
            for part in member.segments:
                if not self._is_right(fault.key, part):
                    place = f"bytes {part.runs[0].offset} to {part.runs[-1].end}"
                    message = f"{fault.message}; damaged: {member.path}, {place}"
                    return Fault(fault.key, message)
        return Fault(fault.key, f"{fault.message}; damaged: between the members")

    def _is_right(self, key: str, part: Segment) -> bool:
        runs = (self.store.read_range(key, *run) for run in part.runs)
        return self.blake3_of(runs) == part.blake3

    def _rebuild(self, documents: Documents, tally: _Tally) -> bool:
        """Make the index anew, and say whether it was wrong."""
        damaged = [ref for ref, one in documents.items() if isinstance(one, str)]
        if damaged:
            why = f"it is not made anew as long as {damaged[0]} is damaged"
            tally.add(iter([Fault(INDEX_KEY, why)]))
            return False
        catalog = Catalog(store=self.store, releases=self.releases)
        before = catalog.read()
        after = catalog.rebuild()
        return before is None or before.entries != after.entries

    def _channel(self, name: str, documents: Documents) -> Iterator[Fault]:
        """Look whether a channel points to what hosts can fetch and should."""
        key = channel_key(name)
        self.store.read(key)  # which fails too if the store is away
        try:
            pointer = self.channels.read(name)
        except (OutsideError, RequestError) as error:
            yield Fault(key, str(error), error.hint)
            return
        index = self.channels.catalog.read() or Index()
        for model, version in sorted(pointer.models.items()):
            why = self._why_not(Ref(model, version), documents, index)
            if why is not None:
                message = f"it points to {model}@{version}, {why}"
                fix = f"ms promote {model} VERSION {name}, then ms channels publish"
                yield Fault(key, message, fix)

    def _why_not(self, ref: Ref, documents: Documents, index: Index) -> str | None:
        """Say why no channel should point to a version; None if one may."""
        # One that was released after the documents were read is looked up.
        found = documents[ref] if ref in documents else self.releases.find(ref)
        if found is None:
            return "which is not released"
        if isinstance(found, str):
            return "whose document is damaged"
        if self.store.stat(found.key) is None:
            return "whose archive is not there"
        notice = index.notice(ref)
        return f"which is {notice}" if notice and notice.is_yanked else None

    def _orphans(self, keys: list[str], documents: Documents) -> Iterator[Orphan]:
        releases = [one for one in documents.values() if isinstance(one, Release)]
        # Nobody knows what belongs to a release whose document is damaged.
        unknown = tuple(
            release_key(ref).rpartition("/")[0] + "/"
            for ref, one in documents.items()
            if isinstance(one, str)
        )
        for key in unreferenced(keys, releases):
            stored = None if key.startswith(unknown) else self.store.stat(key)
            if stored is not None:
                yield Orphan(key, stored.size_bytes)


@dataclass
class _Tally:
    """Counts what is read, and collects what is wrong."""

    watcher: CheckWatcher
    hashed_bytes: int = 0
    faults: list[Fault] = field(default_factory=list)

    def reading(self, key: str, size_bytes: int) -> OnBytes:
        on_bytes = self.watcher.checking(key, size_bytes)

        def counted(count: int) -> None:
            self.hashed_bytes += count
            on_bytes(count)

        return counted

    def add(self, faults: Iterator[Fault]) -> bool:
        """Take what is wrong with one object; say whether anything is."""
        found = list(faults)
        self.faults += found
        for fault in found:
            self.watcher.found(fault)
        return bool(found)
