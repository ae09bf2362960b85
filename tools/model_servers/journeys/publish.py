"""Publish what main has and the store lacks: archives first, releases last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from model_servers.core.objects import Moved, Part
from model_servers.core.release import (
    Candidate,
    Release,
    ReleasePlan,
    plan_release,
    release_key,
)
from model_servers.core.verdicts import Verdict
from model_servers.errors import OutsideError, RefusedError
from model_servers.journeys.build import Build, Recipe
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.probe import refuse_unless_create_only
from model_servers.journeys.reuse import parts_of
from model_servers.journeys.verdicts import refuse_unless_fit, with_verdicts
from model_servers.ports import Content, OnBytes, ProbedStore, Releases


class PublishWatcher(Protocol):
    """Is told what happens while releases are published."""

    def uploading(self, release: Release) -> OnBytes:
        """An archive starts to move; gives the callback for its bytes."""

    def released(self, release: Release, moved: Moved) -> None:
        """A release is there; this is how its bytes came."""


@dataclass(frozen=True, kw_only=True)
class Publish:
    """The publish journey, with everything it touches passed in."""

    build: Build
    store: ProbedStore
    releases: Releases
    verdicts: tuple[Verdict, ...] = ()
    """What tests found out about archives that are released now."""

    @property
    def catalog(self) -> Catalog:
        """The index of the store."""
        return Catalog(store=self.store, releases=self.releases)

    def plan(self, recipes: Iterable[Recipe]) -> ReleasePlan:
        """Compare models with the store; nothing is written.

        What the index says to be unchanged costs no request. Everything else is
        looked up, so a stale index cannot make a wrong plan.

        Raises:
            RequestError: a verdict is of none of the models.
            RefusedError: a verdict is of other inputs, or is no good one.
        """
        return self._plan([recipe.candidate for recipe in recipes])[0]

    def run(self, recipes: Iterable[Recipe], watcher: PublishWatcher) -> ReleasePlan:
        """Publish every new version; running it again finishes what was interrupted.

        A release is there once its document is, which is written last. What was
        released before a failure stays released.

        Args:
            recipes: models without findings.
            watcher: is told what happens.

        Raises:
            RequestError: as ``plan`` says.
            RefusedError: as ``plan`` says, a version is released with other inputs, or
                the store overwrites what is there; nothing was written. Or a verdict
                is of another archive; the releases before it are there.
        """
        recipes = list(recipes)
        plan, unlisted = self._plan([recipe.candidate for recipe in recipes])
        if plan.conflicts:
            raise _conflict(plan.conflicts)
        if plan.new:
            refuse_unless_create_only(self.store, self.catalog)
            self._take_away_leftovers()
        by_ref = {recipe.spec.ref: recipe for recipe in recipes}
        for candidate in plan.new:
            release, moved = self._publish(by_ref[candidate.ref], watcher)
            self.catalog.add(candidate.ref.name)
            watcher.released(release, moved)
        for candidate in unlisted:
            self.catalog.add(candidate.ref.name)
        return plan

    def _plan(
        self, candidates: Iterable[Candidate]
    ) -> tuple[ReleasePlan, list[Candidate]]:
        """Give the plan, and what is released but not in the index."""
        candidates = list(candidates)
        refuse_unless_fit(self.verdicts, candidates)
        index = self.catalog.read()
        listed = {
            one.ref
            for one in candidates
            if index
            and (entry := index.entries.get(one.ref))
            and entry.inputs_digest == one.inputs_digest
        }
        others = [one for one in candidates if one.ref not in listed]
        found = {one.ref: self.releases.find(one.ref) for one in others}
        released = {
            ref: release.inputs_digest
            for ref, release in found.items()
            if release is not None
        }
        known = {one.ref: one.inputs_digest for one in candidates if one.ref in listed}
        plan = plan_release(candidates, {**known, **released})
        return plan, [one for one in plan.unchanged if one.ref not in listed]

    def _publish(
        self, recipe: Recipe, watcher: PublishWatcher
    ) -> tuple[Release, Moved]:
        """Release an archive that is written nowhere but in the store."""
        archive, content = self.build.content(recipe)
        release = with_verdicts(self.build.release(recipe, archive), self.verdicts)
        parts = parts_of(release, content, store=self.store, releases=self.releases)
        moved = release_archive(
            release,
            content,
            parts,
            store=self.store,
            releases=self.releases,
            on_bytes=watcher.uploading(release),
        )
        return release, moved

    def _take_away_leftovers(self) -> None:
        for leftover in self.store.leftovers():
            if leftover.is_abandoned:
                self.store.abort(leftover)


def release_archive(
    release: Release,
    content: Content,
    parts: Sequence[Part],
    *,
    store: ProbedStore,
    releases: Releases,
    on_bytes: OnBytes,
) -> Moved:
    """Put an archive into the store, then the document that makes it a release.

    Args:
        release: describes the archive.
        content: the archive.
        parts: what ``parts_of`` says.
        store: where to.
        releases: those of the store.
        on_bytes: called for every part.

    Raises:
        RefusedError: a rival has released the version with other bytes.
    """
    moved = store.compose(release.key, content, parts, on_bytes=on_bytes)
    _commit(release, store, releases)
    return moved


def _commit(release: Release, store: ProbedStore, releases: Releases) -> None:
    """Create the release's document, or find that a rival made the same one."""
    if store.create(release_key(release.ref), release.to_bytes()):
        return
    rival = releases.find(release.ref)
    if rival is None:
        raise OutsideError(
            f"{release.ref} is in the store and then it is not",
            hint="nothing else may delete from the store; run publish again",
        )
    if rival.archive.sha256 != release.archive.sha256:
        raise RefusedError(
            f"{release.ref} was released by another run with archive "
            f"{rival.archive.sha256[:12]}; this one has "
            f"{release.archive.sha256[:12]}",
            hint=f"raise the version: ms bump {release.ref.name}",
        )


def _conflict(conflicts: Iterable[Candidate]) -> RefusedError:
    refs = [candidate.ref for candidate in conflicts]
    return RefusedError(
        f"already released with other inputs: {', '.join(map(str, refs))}; nothing was"
        " written",
        hint="a released version never changes; raise it: "
        + ", ".join(f"ms bump {ref.name}" for ref in refs),
    )
