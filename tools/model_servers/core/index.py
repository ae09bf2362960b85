"""The index of a store: one document from which all releases can be listed.

It is a cache. What decides is each release's own document, and creating that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from model_servers.core.canonical import canonical_json
from model_servers.core.lifecycle import Notice
from model_servers.core.names import Ref, Version
from model_servers.core.release import Release

if TYPE_CHECKING:
    from typing_extensions import Self

INDEX_KEY = "index.json"
INDEX_SCHEMA_NUMBER = 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the index says of one release."""

    archive_sha256: str
    size_bytes: int
    inputs_digest: str
    notice: Notice | None = None

    @classmethod
    def of(cls, release: Release) -> Self:
        """Give the entry of a release that nobody has said anything about."""
        return cls(
            archive_sha256=release.archive.sha256,
            size_bytes=release.archive.size_bytes,
            inputs_digest=release.inputs_digest,
        )


@dataclass(frozen=True, kw_only=True)
class Index:
    """The releases of a store, as somebody found them."""

    generation: int = 0
    """Grows with every change."""

    entries: Mapping[Ref, Entry] = field(default_factory=dict)

    def of_model(self, name: str) -> dict[Version, Entry]:
        """Give the entries of one model, oldest first."""
        return {ref.version: self.entries[ref] for ref in sorted(self._refs(name))}

    def with_releases(self, releases: Iterable[Release]) -> Self:
        """Give the index with more releases; what it says of others stays."""
        found = {
            release.ref: replace(Entry.of(release), notice=self._notice_of(release.ref))
            for release in releases
        }
        return replace(self, entries={**self.entries, **found})

    def with_notices(self, name: str, notices: Mapping[Version, Notice]) -> Self:
        """Give the index in which exactly these notices stand at a model."""
        changed = {
            ref: replace(self.entries[ref], notice=notices.get(ref.version))
            for ref in self._refs(name)
        }
        return replace(self, entries={**self.entries, **changed})

    def to_bytes(self) -> bytes:
        """Write the document; ``from_bytes`` of it gives this index again."""
        models: dict[str, dict[str, Any]] = {}
        for ref, entry in self.entries.items():
            models.setdefault(ref.name, {})[str(ref.version)] = _mapping(entry)
        return canonical_json(
            {
                "schema": INDEX_SCHEMA_NUMBER,
                "generation": self.generation,
                "models": models,
            }
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Read a document that this tool has written.

        Raises:
            ValueError: it is damaged.
        """
        data = json.loads(body)
        try:
            return cls(
                generation=int(data["generation"]),
                entries={
                    Ref.parse(f"{name}@{version}"): _entry(entry)
                    for name, versions in data["models"].items()
                    for version, entry in versions.items()
                },
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no index: {error!r}") from error

    def _refs(self, name: str) -> Iterator[Ref]:
        return (ref for ref in self.entries if ref.name == name)

    def _notice_of(self, ref: Ref) -> Notice | None:
        entry = self.entries.get(ref)
        return None if entry is None else entry.notice


def schema_number(body: bytes) -> int:
    """Say which schema an index has, also one that this version cannot read."""
    try:
        return int(json.loads(body)["schema"])
    except (ValueError, KeyError, TypeError):
        return 0


def _mapping(entry: Entry) -> dict[str, Any]:
    mapping: dict[str, Any] = {
        "archive": entry.archive_sha256,
        "size": entry.size_bytes,
        "inputs_digest": entry.inputs_digest,
    }
    if entry.notice is not None:
        mapping["notice"] = entry.notice.to_mapping()
    return mapping


def _entry(data: Mapping[str, Any]) -> Entry:
    notice = data.get("notice")
    return Entry(
        archive_sha256=data["archive"],
        size_bytes=data["size"],
        inputs_digest=data["inputs_digest"],
        notice=notice and Notice.from_mapping(notice),
    )
