"""Compare models with what is released, or with where the branch began."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from model_servers.core.checkpoint import CheckpointFacts
from model_servers.core.contribution import Contribution, Digests
from model_servers.core.findings import Finding
from model_servers.core.layout import plan_members, used_files
from model_servers.core.names import Ref
from model_servers.core.spec import ModelSpec, Serving
from model_servers.core.versions import Content, Difference, Known, Piece, problem
from model_servers.journeys.build import Build
from model_servers.ports import ArchiveWriter, History, Registry, Releases

Lookup = Callable[[Ref], Known]
"""Tells what is known of a model elsewhere; OutsideError if it cannot."""


def content(build: Build, name: str) -> Content:
    """Say what the archive of a model without findings is made of."""
    recipe = build.recipe(name)
    digests = build.writer.member_digests(
        recipe.members,
        locate=partial(build.registry.path, name),
        digests=partial(build.registry.digests, name),
    )
    return Content(
        ref=recipe.spec.ref,
        inputs_digest=recipe.inputs_digest,
        members={
            path: Piece(size_bytes=one.size_bytes, sha256=one.sha256)
            for path, one in digests.items()
        },
    )


def version_finding(build: Build, name: str, lookup: Lookup) -> Iterator[Finding]:
    """Yield what is wrong with the version of a model that has no other findings.

    Raises:
        OutsideError: what is known cannot be reached.
    """
    now = content(build, name)
    found = problem(now, lookup(now.ref))
    if found is not None:
        code, message, fix = found
        contribution = build.registry.read(name)
        yield contribution.finding(
            code,
            message,
            document=contribution.model or "",
            where="version",
            fix=fix,
        )


def in_store(releases: Releases, *, address: str) -> Lookup:
    """Look versions up among the releases of a store."""

    def lookup(ref: Ref) -> Known:
        versions = releases.versions(ref.name)
        release = releases.find(ref) if ref.version in versions else None
        return Known(
            origin=f"released in {address}",
            versions=tuple(versions),
            same=None if release is None else Content.of_release(release),
        )

    return lookup


def at_base(history: History, writer: ArchiveWriter) -> Lookup:
    """Look versions up where the branch began."""

    def lookup(ref: Ref) -> Known:
        found = base_content(history, writer, ref.name)
        is_same = found is not None and found.ref == ref
        return Known(
            origin=history.origin,
            versions=(found.ref.version,) if found else (),
            same=found if is_same else None,
        )

    return lookup


def base_content(history: History, writer: ArchiveWriter, name: str) -> Content | None:
    """Say what a model was made of; None if there was none that could be built."""
    if name not in history.registry.names():
        return None
    contribution = history.registry.read(name)
    if contribution.model is None or contribution.config is None:
        return None
    registry = _Declared(history.registry, contribution)
    spec = ModelSpec.from_mapping(contribution.model.data)
    serving = Serving.from_mapping(contribution.config.data)
    needed = used_files(plan_members(spec, serving, contribution.files))
    if not all(registry.has(path) for path in needed):
        return None
    return content(Build(registry=registry, writer=writer), name)


def against_releases(build: Build, name: str, releases: Releases) -> Difference:
    """Compare a model with its newest release."""
    now, versions = content(build, name), releases.versions(name)
    newest = releases.find(replace(now.ref, version=versions[-1])) if versions else None
    then = None if newest is None else Content.of_release(newest)
    return Difference(now=now, then=then)


def against_base(build: Build, name: str, history: History) -> Difference:
    """Compare a model with what it was where the branch began."""
    then = base_content(history, build.writer, name)
    return Difference(now=content(build, name), then=then)


@dataclass(frozen=True)
class _Declared:
    """A registry whose weights may be elsewhere: what is declared of them counts."""

    registry: Registry
    contribution: Contribution

    def names(self) -> list[str]:
        return self.registry.names()

    def read(self, name: str) -> Contribution:
        return self.registry.read(name)

    def sha256(self, name: str, path: str) -> str:
        return self.digests(name, path).sha256

    def path(self, name: str, path: str) -> Path:
        return self.registry.path(name, path)

    def checkpoint(
        self, name: str, path: str, *, fetch: bool = True
    ) -> CheckpointFacts | None:
        return self.registry.checkpoint(name, path, fetch=fetch)

    def commit(self) -> str | None:
        return self.registry.commit()

    def has(self, path: str) -> bool:
        return path in self.contribution.files or path == self._absent()

    def digests(self, name: str, path: str) -> Digests:
        if path != self._absent() or self.contribution.model is None:
            return self.registry.digests(name, path)
        declared = self.contribution.model.data["checkpoint"]
        return Digests(size_bytes=declared["size"], sha256=declared["sha256"], crc32=0)

    def _absent(self) -> str | None:
        """Give the checkpoint that is declared and not there."""
        data = self.contribution.model.data if self.contribution.model else {}
        path: str | None = data.get("build", {}).get("checkpoint_file")
        is_declared = "checkpoint" in data and path not in self.contribution.files
        return path if is_declared else None
