"""Tell GitHub of released versions: a tag and a release for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from model_servers.core.names import Ref
from model_servers.core.notes import notes, tag
from model_servers.core.release import Release
from model_servers.errors import RefusedError
from model_servers.ports import Announcements, Releases


@dataclass(frozen=True, kw_only=True)
class Announce:
    """The announce journey; run again, it goes on where it was interrupted."""

    releases: Releases
    announcements: Announcements
    changelog: Callable[[str], str]
    """Gives the changelog of a model; empty if there is none."""

    def plan(self, refs: Iterable[Ref]) -> list[Release]:
        """Give those that are released and that GitHub has no tag of."""
        known = self.announcements.tags()
        waiting = [ref for ref in refs if tag(ref) not in known]
        found = [self.releases.find(ref) for ref in waiting]
        return [release for release in found if release is not None]

    def run(self, refs: Iterable[Ref]) -> list[Release]:
        """Announce them, and say which.

        Raises:
            RefusedError: a release was not made from a commit, so it has no tag.
        """
        planned = self.plan(refs)
        for release in planned:
            if release.git_commit is None:
                raise RefusedError(
                    f"{release.ref} was not published from a commit",
                    hint="publish the next version from a clean checkout",
                )
            self.announcements.announce(
                tag(release.ref),
                commit=release.git_commit,
                title=f"{release.ref.name} {release.ref.version}",
                notes=notes(release, self.changelog(release.ref.name)),
            )
        return planned
