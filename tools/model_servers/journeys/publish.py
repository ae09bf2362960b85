"""Publish what main has and the store lacks: archives first, releases last."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from model_servers.core.release import (
    Candidate,
    Release,
    ReleasePlan,
    plan_release,
    release_key,
)
from model_servers.errors import OutsideError, RefusedError
from model_servers.journeys.build import Build, Recipe
from model_servers.ports import OnBytes, Releases, Store


@dataclass(frozen=True, kw_only=True)
class Publish:
    """The publish journey, with everything it touches passed in."""

    build: Build
    store: Store
    releases: Releases

    def plan(self, recipes: Iterable[Recipe]) -> ReleasePlan:
        """Compare models with the store; nothing is written."""
        candidates = [recipe.candidate for recipe in recipes]
        found = {one.ref: self.releases.find(one.ref) for one in candidates}
        return plan_release(
            candidates,
            {ref: release for ref, release in found.items() if release is not None},
        )

    def run(
        self,
        recipes: Iterable[Recipe],
        *,
        uploading: Callable[[Release], OnBytes],
        on_done: Callable[[Release], None],
    ) -> ReleasePlan:
        """Publish every new version; running it again finishes what was interrupted.

        A release is there once its document is, which is written last. What was
        released before a failure stays released.

        Args:
            recipes: models without findings.
            uploading: called when an archive starts to move; gives the callback
                for its bytes.
            on_done: called with each release once it is there.

        Raises:
            RefusedError: a version is released with other inputs; nothing was
                written.
        """
        recipes = list(recipes)
        plan = self.plan(recipes)
        if plan.conflicts:
            raise _conflict(plan.conflicts)
        by_ref = {recipe.spec.ref: recipe for recipe in recipes}
        with tempfile.TemporaryDirectory(prefix="ms-publish-") as folder:
            for candidate in plan.new:
                recipe = by_ref[candidate.ref]
                built = self.build.write(recipe, Path(folder))
                release = self.build.release(recipe, built.archive)
                self.store.upload(release.key, built.path, on_bytes=uploading(release))
                self._commit(release)
                built.path.unlink()
                on_done(release)
        return plan

    def _commit(self, release: Release) -> None:
        """Create the release's document, or find that a rival made the same one."""
        if self.store.create(release_key(release.ref), release.to_bytes()):
            return
        rival = self.releases.find(release.ref)
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
                hint="raise the version in model.yaml",
            )


def _conflict(conflicts: Iterable[Candidate]) -> RefusedError:
    refs = ", ".join(str(candidate.ref) for candidate in conflicts)
    return RefusedError(
        f"already released with other inputs: {refs}; nothing was written",
        hint="raise the version in model.yaml; a released version never changes",
    )
