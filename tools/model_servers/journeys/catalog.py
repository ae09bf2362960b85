"""Keeps a store's index: read in one request, changed by compare-and-swap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from model_servers.core.index import (
    INDEX_KEY,
    INDEX_SCHEMA_NUMBER,
    Index,
    schema_number,
)
from model_servers.core.lifecycle import Notice
from model_servers.core.names import Ref, Version
from model_servers.core.objects import Movable
from model_servers.core.release import Release, released_refs
from model_servers.errors import OutsideError, RequestError
from model_servers.journeys import parallel
from model_servers.ports import Releases, Store

_RACES = 64


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The index of one store."""

    store: Store
    releases: Releases

    def read(self) -> Index | None:
        """Give the index; None if there is none, or it cannot be read."""
        return _parsed(self.store.read_movable(INDEX_KEY), self.store.address)

    def add(self, name: str) -> Index:
        """Enter every release of a model that the index does not have."""
        return self._change(lambda index: index.with_releases(self._new(name, index)))

    def note(self, notices: Mapping[str, Mapping[Version, Notice]]) -> Index:
        """Let the index say what is said of versions, by model."""

        def noted(index: Index) -> Index:
            for name, versions in notices.items():
                index = index.with_notices(name, versions)
            return index

        return self._change(noted)

    def rebuild(self) -> Index:
        """Make the index anew from the releases; what is said of them stays."""
        return self._change(
            lambda index: self._collected(
                {ref: entry.notice for ref, entry in index.entries.items()}
            )
        )

    def collected(self) -> Index:
        """Give the index that the releases make; nothing is written."""
        return replace(self._collected({}), generation=1)

    def _change(self, change: Callable[[Index], Index]) -> Index:
        """Apply *change* to the newest index until no rival was faster."""
        for _ in range(_RACES):
            found = self.store.read_movable(INDEX_KEY)
            index = _parsed(found, self.store.address)
            changed = change(index if index is not None else self._collected({}))
            if index is not None and changed.entries == index.entries:
                return index
            changed = replace(
                changed, generation=1 + (index.generation if index else 0)
            )
            token = None if found is None else found.token
            if self.store.swap(INDEX_KEY, changed.to_bytes(), token):
                return changed
        raise OutsideError(
            f"{self.store.address}/{INDEX_KEY} was changed by others {_RACES} times "
            "in a row",
            hint="run the command again when fewer publish at once",
        )

    def _new(self, name: str, index: Index) -> list[Release]:
        known = index.of_model(name)
        refs = [
            Ref(name, version)
            for version in self.releases.versions(name)
            if version not in known
        ]
        return self._read(refs)

    def _collected(self, notices: Mapping[Ref, Notice | None]) -> Index:
        refs = released_refs(self.store.keys("models/"))
        index = Index().with_releases(self._read(refs))
        entries = {
            ref: replace(entry, notice=notices.get(ref))
            for ref, entry in index.entries.items()
        }
        return replace(index, entries=entries)

    def _read(self, refs: Iterable[Ref]) -> list[Release]:
        found = parallel.each(self.releases.find, refs)
        return [release for release in found if release is not None]


def _parsed(found: Movable | None, address: str) -> Index | None:
    if found is None:
        return None
    if schema_number(found.body) > INDEX_SCHEMA_NUMBER:
        raise RequestError(
            f"{address}/{INDEX_KEY} was written by a newer model-servers",
            hint="install a newer model-servers",
        )
    try:
        return Index.from_bytes(found.body)
    except ValueError:
        return None  # it is a cache: whoever changes it makes it anew
