"""Serve a model of the checkout as it is, whether it could be released or not."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from model_servers.core.golden import GoldenCase
from model_servers.core.names import Ref, Version
from model_servers.journeys.build import Build, Recipe
from model_servers.journeys.loading import Loading
from model_servers.ports import Content, ModelServer, ModelStore, Registry

_CHUNK_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """A model store and a server of our own."""

    server: ModelServer
    model_store: ModelStore

    @property
    def loading(self) -> Loading:
        """What loads the entries of this model store."""
        return Loading(server=self.server, entries=self.model_store)

    def install(self, build: Build, recipe: Recipe) -> Ref:
        """Install a model as a host would, without a store and without an archive."""
        archive, content = build.content(recipe)
        self.model_store.install(
            build.release(recipe, archive),
            chunks=partial(_chunks, content),
            on_bytes=lambda _: None,
        )
        return recipe.spec.ref

    def load(self, build: Build, recipe: Recipe) -> Ref:
        """Install a model and wait until it serves.

        Raises:
            OutsideError: it cannot be loaded; nothing of it is left.
        """
        ref = self.install(build, recipe)
        try:
            self.loading.load(ref)
        except BaseException:
            self.remove(ref)
            raise
        return ref

    def remove(self, ref: Ref) -> None:
        """Take a version off the server and off the disk."""
        self.server.unregister(ref.name, str(ref.version))
        self.model_store.forget(ref)


def _chunks(content: Content, offset: int, length: int) -> Iterator[bytes]:
    for start in range(offset, offset + length, _CHUNK_BYTES):
        yield content.read(start, min(_CHUNK_BYTES, offset + length - start))


def as_version(recipe: Recipe, version: Version) -> Recipe:
    """Give the recipe of the same model under another version."""
    return replace(recipe, spec=replace(recipe.spec, version=version))


def golden_cases(registry: Registry, name: str) -> Mapping[str, GoldenCase]:
    """Read the golden cases of a model, by the paths of their files."""
    return {
        document.path: GoldenCase.from_mapping(
            posixpath.basename(document.path).removesuffix(".yaml"),
            document.data,
            read=partial(_beside, registry, name, document.path),
        )
        for document in registry.read(name).golden
    }


def _beside(registry: Registry, name: str, case: str, file: str) -> bytes:
    path = posixpath.join(posixpath.dirname(case), file)
    return registry.path(name, path).read_bytes()
