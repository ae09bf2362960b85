"""Collects what the catalogue shows: from the registry, and from a store."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from model_servers.core.contribution import Contribution
from model_servers.core.golden import GoldenCase
from model_servers.core.index import Index
from model_servers.core.lifecycle import Notice
from model_servers.core.names import Version
from model_servers.core.presentation import visible
from model_servers.core.release import Release, released_refs
from model_servers.core.site import facts
from model_servers.core.site.calls import example
from model_servers.core.site.pages import About, Catalogue, Example, ModelPage
from model_servers.core.spec import ModelSpec, Serving
from model_servers.journeys import parallel
from model_servers.journeys.catalog import Catalog
from model_servers.ports import Pages, Registry, Releases, Store

_CARD_MAX_BYTES = 500_000
_PICTURE_MAX_BYTES = 2 * 2**20
_BODY_MAX_BYTES = 2 * 2**20
"""Larger requests are not shown; a page is no place for them."""

_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")

CommitDates = Callable[[Collection[str]], Mapping[str, str]]
"""Gives the dates of commits, of those that are known."""


@dataclass(frozen=True, kw_only=True)
class Released:
    """What a store knows about all models."""

    releases: Mapping[str, list[Release]]
    channels: Mapping[str, Mapping[Version, list[str]]]
    notices: Mapping[str, Mapping[Version, Notice]]


@dataclass(frozen=True, kw_only=True)
class Site:
    """The journey that makes the catalogue's pages."""

    registry: Registry
    store: Store | None
    releases: Releases | None
    commit_dates: CommitDates
    pages: Pages

    def write(self, *, title: str, repository: str | None = None) -> Catalogue:
        """Make the pages and give what they show.

        Interrupted, it leaves the pages that were there.

        Args:
            title: of the catalogue.
            repository: the web address of the git repository, for links.
        """
        catalogue = Catalogue(
            title=title,
            store=self._public_address(),
            repository=repository,
            models=tuple(self._models()),
        )
        self.pages.write(catalogue)
        return catalogue

    def _public_address(self) -> str | None:
        """Give the store's address; a folder means nothing to others."""
        address = self.store.address if self.store else ""
        return address if address.startswith("s3://") else None

    def _models(self) -> Iterator[ModelPage]:
        released = self._released()
        dates = self.commit_dates(
            {
                release.git_commit
                for releases in released.releases.values()
                for release in releases
                if release.git_commit
            }
        )
        names = self.registry.names()
        for name in sorted({*names, *released.releases}):
            contribution = self.registry.read(name) if name in names else None
            page = ModelPage(
                name=name,
                about=None if contribution is None else self._about(contribution),
                versions=facts.version_rows(
                    released.releases.get(name, ()),
                    dates=dates,
                    channels=released.channels.get(name, {}),
                    notices=released.notices.get(name, {}),
                ),
            )
            if page.about is not None or page.versions:
                yield page

    def _released(self) -> Released:
        if self.store is None or self.releases is None:
            return Released(releases={}, channels={}, notices={})
        # The index may be stale, and a release is there if its document is.
        refs = released_refs(self.store.keys("models/"))
        by_name: dict[str, list[Release]] = defaultdict(list)
        for release in filter(None, parallel.each(self.releases.find, refs)):
            by_name[release.ref.name].append(release)
        index = Catalog(store=self.store, releases=self.releases).read()
        return Released(
            releases=by_name,
            channels=_channels(self.store),
            notices=_notices(index or Index()),
        )

    def _about(self, contribution: Contribution) -> About | None:
        """Give what the registry says; None if its documents are not in order."""
        if contribution.model is None or contribution.config is None:
            return None
        spec = ModelSpec.from_mapping(contribution.model.data)
        serving = Serving.from_mapping(contribution.config.data)
        return About(
            root=contribution.root,
            version=spec.version,
            summary=visible(spec.summary),
            license=visible(spec.license),
            maintainers=tuple(map(visible, spec.maintainers)),
            framework=facts.framework(contribution.requirements),
            serving=facts.settings(spec, serving),
            card=self._card(contribution),
            pictures=self._pictures(contribution),
            examples=tuple(self._examples(contribution, spec)),
        )

    def _card(self, contribution: Contribution) -> str:
        path = facts.card_path(contribution.files)
        if path is None:
            return ""
        body = self._read(contribution, path, at_most_bytes=_CARD_MAX_BYTES) or b""
        return body.decode(errors="replace")

    def _pictures(self, contribution: Contribution) -> dict[str, str]:
        return {
            path: str(self.registry.path(contribution.name, path))
            for path, found in contribution.files.items()
            if path.lower().endswith(_PICTURES)
            and not found.leaves_model
            and found.size_bytes <= _PICTURE_MAX_BYTES
        }

    def _examples(
        self, contribution: Contribution, spec: ModelSpec
    ) -> Iterator[Example]:
        for document in contribution.golden:
            folder = document.path.rpartition("/")[0]

            def read(path: str, folder: str = folder) -> bytes:
                body = self._read(
                    contribution, f"{folder}/{path}", at_most_bytes=_BODY_MAX_BYTES
                )
                if body is None:
                    raise FileNotFoundError(path)
                return body

            name = document.path.rpartition("/")[2].rpartition(".")[0]
            try:
                case = GoldenCase.from_mapping(name, document.data, read=read)
            except FileNotFoundError:
                continue
            if len(case.request.body) <= _BODY_MAX_BYTES:
                is_recorded = "json" in document.data.get("expect", {})
                yield example(spec.name, case, is_recorded=is_recorded)

    def _read(
        self, contribution: Contribution, path: str, *, at_most_bytes: int
    ) -> bytes | None:
        """Give a file of the model; None if it is none of its, large or not there."""
        found = contribution.files.get(path)
        if found is None or found.leaves_model or found.size_bytes > at_most_bytes:
            return None
        try:
            return self.registry.path(contribution.name, path).read_bytes()
        except OSError:
            return None


def _channels(store: Store) -> dict[str, dict[Version, list[str]]]:
    """Say which channels point to each release; a damaged channel points nowhere."""
    pointed: dict[str, dict[Version, list[str]]] = defaultdict(dict)
    for key in store.keys("channels/"):
        found = store.read_movable(key)
        if found is None or not key.endswith(".json"):
            continue
        try:
            data = json.loads(found.body)
            models = {
                name: Version.parse(version) for name, version in data["models"].items()
            }
            channel = visible(data["channel"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        for name, version in models.items():
            pointed[name].setdefault(version, []).append(channel)
    return pointed


def _notices(index: Index) -> dict[str, dict[Version, Notice]]:
    said: dict[str, dict[Version, Notice]] = defaultdict(dict)
    for ref, entry in index.entries.items():
        if entry.notice is not None:
            notice = replace(entry.notice, reason=visible(entry.notice.reason))
            said[ref.name][ref.version] = notice
    return said
