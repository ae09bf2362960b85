"""Release an archive that others have made, as it is."""

from __future__ import annotations

from dataclasses import dataclass

from model_servers.core.given import GivenArchive, release_of
from model_servers.core.release import Release
from model_servers.errors import RefusedError, RequestError
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.probe import refuse_unless_create_only
from model_servers.journeys.publish import PublishWatcher, release_archive
from model_servers.journeys.reuse import parts_of
from model_servers.ports import Content, ProbedStore, Releases


@dataclass(frozen=True, kw_only=True)
class PublishGiven:
    """A store, into which given archives are released."""

    store: ProbedStore
    releases: Releases

    def plan(self, given: GivenArchive) -> tuple[Release, bool]:
        """Give the release that an archive would be, and whether it is there.

        Raises:
            RequestError: its name or version cannot be one of a release.
            RefusedError: the version is released with other bytes.
        """
        try:
            release = release_of(given)
        except ValueError as error:
            raise RequestError(
                f"the archive's manifest cannot be released: {error}",
                hint="torch-model-archiver --model-name NAME --version MAJOR.MINOR",
            ) from error
        there = self.releases.find(release.ref)
        if there is not None and there.archive.sha256 != release.archive.sha256:
            raise RefusedError(
                f"{release.ref} is released with archive {there.archive.sha256[:12]}; "
                f"this one has {release.archive.sha256[:12]}",
                hint="make the archive with a higher --version",
            )
        return release, there is not None

    def run(
        self, given: GivenArchive, content: Content, watcher: PublishWatcher
    ) -> bool:
        """Release an archive, and say whether it was new.

        Raises:
            RefusedError: as ``plan`` says, or the store overwrites what is there;
                nothing was released.
        """
        release, is_there = self.plan(given)
        catalog = Catalog(store=self.store, releases=self.releases)
        if not is_there:
            refuse_unless_create_only(self.store, catalog)
            store, releases = self.store, self.releases
            parts = parts_of(release, content, store=store, releases=releases)
            moved = release_archive(
                release,
                content,
                parts,
                store=store,
                releases=releases,
                on_bytes=watcher.uploading(release),
            )
            watcher.released(release, moved)
        catalog.add(release.ref.name)
        return not is_there
