"""Build archives from validated models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from model_servers.core.contribution import Digests
from model_servers.core.layout import (
    Member,
    inputs_digest,
    manifest,
    plan_members,
    used_files,
)
from model_servers.core.names import Ref
from model_servers.core.release import Archive, Candidate, Release
from model_servers.core.spec import ModelSpec, Serving
from model_servers.errors import RefusedError
from model_servers.ports import ArchiveWriter, Content, Registry


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides about one archive, before a byte of it is written."""

    spec: ModelSpec
    serving: Serving
    members: tuple[Member, ...]
    inputs_digest: str

    @property
    def candidate(self) -> Candidate:
        """What publishing compares with the store."""
        return Candidate(ref=self.spec.ref, inputs_digest=self.inputs_digest)


@dataclass(frozen=True, kw_only=True)
class Built:
    """An archive on disk."""

    ref: Ref
    path: Path
    archive: Archive


class _Inputs(TypedDict):
    locate: Callable[[str], Path]
    digests: Callable[[str], Digests]
    manifest: Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Build:
    """The build journey, with everything it touches passed in."""

    registry: Registry
    writer: ArchiveWriter
    expected: Mapping[str, str] | None = None
    """The digests that archives were built with elsewhere, by file name."""

    def recipe(self, name: str) -> Recipe:
        """Read a model that has no findings, and hash what goes into its archive."""
        contribution = self.registry.read(name)
        if contribution.model is None or contribution.config is None:
            raise ValueError(f"{name} has findings; validate it first")
        spec = ModelSpec.from_mapping(contribution.model.data)
        serving = Serving.from_mapping(contribution.config.data)
        members = tuple(plan_members(spec, serving, contribution.files))
        digests = {
            path: self.registry.sha256(name, path) for path in used_files(members)
        }
        return Recipe(
            spec=spec,
            serving=serving,
            members=members,
            inputs_digest=inputs_digest(spec.ref, members, digests),
        )

    def write(self, recipe: Recipe, folder: Path) -> Built:
        """Write ``<name>-<version>.mar`` into *folder*, complete or not at all."""
        return self.write_to(recipe, folder / f"{recipe.spec.ref.entry}.mar")

    def write_to(self, recipe: Recipe, path: Path) -> Built:
        """Write the archive as *path*, complete or not at all.

        Raises:
            RefusedError: it is another one than expected; it is not left behind.
        """
        archive = self.writer.write(path, recipe.members, **self._inputs(recipe))
        try:
            self._refuse_another(path.name, archive)
        except RefusedError:
            path.unlink()
            raise
        return Built(ref=recipe.spec.ref, path=path, archive=archive)

    def content(self, recipe: Recipe) -> tuple[Archive, Content]:
        """Describe the archive without writing it, and give its bytes.

        Raises:
            RefusedError: it is another one than expected.
        """
        archive, content = self.writer.content(recipe.members, **self._inputs(recipe))
        self._refuse_another(f"{recipe.spec.ref.entry}.mar", archive)
        return archive, content

    def _refuse_another(self, file: str, archive: Archive) -> None:
        if self.expected is None or self.expected.get(file) == archive.sha256:
            return
        wanted = self.expected.get(file)
        raise RefusedError(
            f"{file} is {archive.sha256[:12]}, expected "
            f"{wanted[:12] if wanted else 'no such archive'}",
            hint="build it again from a clean checkout of the same commit",
        )

    def _inputs(self, recipe: Recipe) -> _Inputs:
        spec = recipe.spec
        return _Inputs(
            locate=partial(self.registry.path, spec.name),
            digests=partial(self.registry.digests, spec.name),
            manifest=lambda handler_digest: manifest(
                spec,
                inputs_digest=recipe.inputs_digest,
                handler_digest=handler_digest,
            ),
        )

    def release(self, recipe: Recipe, archive: Archive) -> Release:
        """Describe an archive as the release it would be."""
        return Release(
            ref=recipe.spec.ref,
            archive=archive,
            inputs_digest=recipe.inputs_digest,
            git_commit=self.registry.commit(),
            toolchain=self.writer.toolchain(),
            resources=recipe.serving.resources(),
        )
