"""Fetch a released archive: only the bytes that are not here, all of them verified."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from model_servers.core.channels import is_channel
from model_servers.core.index import Index
from model_servers.core.names import LATEST, Ref, Version
from model_servers.core.release import Release
from model_servers.errors import RefusedError, RequestError
from model_servers.journeys.channels import Channels
from model_servers.journeys.released_bytes import ReleasedBytes
from model_servers.ports import Archives, OnBytes, Releases, Store

_ARCHIVES_LOOKED_AT = 8


class Watcher(Protocol):
    """Is told what happens, as it happens."""

    def fetching(self, release: Release, size_bytes: int) -> OnBytes:
        """Bytes begin to move; gives the callback for them."""


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An archive that is here now."""

    release: Release
    path: Path
    fetched_bytes: int
    """Those that came from the store; the rest was here."""


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """The journey that brings archives into a folder."""

    store: Store
    releases: Releases
    archives: Archives
    channels: Channels

    def run(self, text: str, watcher: Watcher) -> Fetched:
        """Bring the archive that ``NAME@VERSION`` or ``NAME@CHANNEL`` means.

        Archives of the same model in the folder give the bytes that they share.
        One that is there and damaged is repaired.

        Raises:
            RequestError: *text* is no such reference.
            RefusedError: it is not released.
        """
        release = self._release(text)
        path = self.archives.path(release.ref)
        if self.archives.is_whole(release):
            return Fetched(release=release, path=path, fetched_bytes=0)
        here = [release, *self._others(release.ref)]
        moved: list[int] = []
        show = watcher.fetching(release, self.archives.missing_bytes(release, here))

        def on_bytes(count: int) -> None:
            moved.append(count)
            show(count)

        self.archives.bring(
            release,
            here,
            chunks=ReleasedBytes(self.store, release).chunks,
            on_bytes=on_bytes,
        )
        return Fetched(release=release, path=path, fetched_bytes=sum(moved))

    def _release(self, text: str) -> Release:
        name, _, wanted = text.partition("@")
        try:
            # 0.0 stands for any version: the name is what is looked at.
            named = is_channel(wanted) or wanted == LATEST
            ref = Ref.parse(f"{name}@0.0" if named else text)
        except ValueError as error:
            raise RequestError(
                str(error),
                hint="name a release as NAME@VERSION, NAME@CHANNEL or NAME@latest",
            ) from error
        version = self._named(name, wanted) if named else ref.version
        release = self.releases.find(Ref(name, version)) if version else None
        if release is None:
            raise self._not_released(text)
        return release

    def _named(self, name: str, wanted: str) -> Version | None:
        """Give the version to which a channel points; yanked ones are never latest."""
        if wanted != LATEST:
            return self.channels.read(wanted).models.get(name)
        index = self.channels.catalog.read() or Index()
        notices = {at: entry.notice for at, entry in index.of_model(name).items()}
        for version in reversed(self.releases.versions(name)):
            notice = notices.get(version)
            if notice is None or not notice.is_yanked:
                return version
        return None

    def _not_released(self, text: str) -> RefusedError:
        versions = self.releases.versions(text.partition("@")[0])
        known = ", ".join(str(version) for version in versions) or "no version"
        return RefusedError(
            f"{text} is not released in {self.store.address}; it has {known}",
            hint="name a version that is there, or another --store",
        )

    def _others(self, ref: Ref) -> Iterator[Release]:
        """Find what the other archives are, the newest first."""
        refs = (one for one in reversed(self.archives.refs(ref.name)) if one != ref)
        for other in islice(refs, _ARCHIVES_LOOKED_AT):
            release = self.releases.find(other)
            if release is not None:
                yield release
