"""Builds what reads, writes, checks and publishes the models of a checkout."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_servers.cli.settings import Settings
from model_servers.cli.watch import fetching
from model_servers.cli.wire.stores import releases, store
from model_servers.errors import RequestError

if TYPE_CHECKING:
    from model_servers.core.contribution import Digests
    from model_servers.core.doctor import Machine
    from model_servers.core.release import Release
    from model_servers.core.work import Work
    from model_servers.journeys.announce import Announce
    from model_servers.journeys.build import Build
    from model_servers.journeys.init import Init
    from model_servers.journeys.lock import Lock
    from model_servers.journeys.publish import Publish
    from model_servers.journeys.site import Site
    from model_servers.journeys.validate import Probing
    from model_servers.ports import (
        GoldenFiles,
        History,
        ModelTexts,
        ProbedStore,
        Registry,
        Store,
    )


def registry(settings: Settings) -> Registry:
    """Give the models of the checkout, and their weights wherever they are."""
    from model_servers.adapters.checkout import Checkout
    from model_servers.adapters.digest_cache import DigestCache

    digests = DigestCache(settings.work / "digests")
    checkout = Checkout(settings.registry, digest=digests.digest)
    return with_weights(checkout, settings)


def with_weights(models: Registry, settings: Settings) -> Registry:
    """Let weights that are elsewhere be files of their models."""
    from model_servers.adapters import checkpoint_file, web
    from model_servers.adapters.blob_cache import BlobCache
    from model_servers.adapters.digest_cache import DigestCache
    from model_servers.journeys.weights import Weights

    digests = DigestCache(settings.work / "digests")

    def bucket(name: str) -> Store:
        return store(f"s3://{name}", endpoint_url=settings.endpoint_url)

    @cache
    def releases_store() -> Store | None:
        if settings.store is None:
            return None
        return store(settings.store, endpoint_url=settings.endpoint_url)

    return Weights(
        registry=models,
        cache=BlobCache(
            settings.cache, max_bytes=settings.cache_max_bytes, digest=digests.digest
        ),
        trust=settings.trust,
        releases=releases_store,
        bucket=bucket,
        web=web.read,
        read_checkpoint=checkpoint_file.read,
        fetching=fetching,
    )


def digests_of(file: Path) -> Digests:
    """Read a file once for all its digests."""
    from model_servers.adapters.file_digests import digest_file

    return digest_file(file)


def init(settings: Settings) -> Init:
    """Give the journey that makes new models."""
    from model_servers.adapters import checkpoint_file
    from model_servers.adapters.new_models import NewModels
    from model_servers.journeys.init import Init

    return Init(
        registry=registry(settings),
        new_models=NewModels(settings.registry),
        read_checkpoint=checkpoint_file.read,
    )


_MOST_PROBES = 8
"""At once: each is a model in memory."""


def probing(not_checked: Callable[[str], None]) -> Probing:
    """Give how models' code is imported, in a process for each CPU."""
    from model_servers.adapters.handler_probe import SubprocessProbe
    from model_servers.journeys.validate import Probing

    return Probing(
        probe=SubprocessProbe(),
        processes=min(os.cpu_count() or 1, _MOST_PROBES),
        not_checked=not_checked,
    )


def machine(settings: Settings) -> Machine:
    """Look at this machine."""
    from model_servers.adapters import machine

    try:
        from model_servers.adapters import nvml
    except ModuleNotFoundError:
        gpus = None
    else:
        gpus = nvml.names()
    return machine.look(registry=settings.registry, work=settings.work, gpus=gpus)


def maintainer(settings: Settings) -> str | None:
    """Say who works in the checkout, if git knows."""
    from model_servers.adapters import git

    return git.maintainer(settings.registry)


def build(settings: Settings) -> Build:
    """Give the build journey."""
    from model_servers.adapters.known_archives import KnownArchives
    from model_servers.adapters.mar import MarWriter
    from model_servers.journeys.build import Build

    known = KnownArchives(settings.work / "archives")
    return Build(registry=registry(settings), writer=MarWriter(known))


def build_from(models: Registry) -> Build:
    """Give the build journey for models wherever they are."""
    from model_servers.adapters.mar import MarWriter
    from model_servers.journeys.build import Build

    return Build(registry=models, writer=MarWriter())


def loose_files(options: argparse.Namespace) -> Registry:
    """Give the one model that the guide's arguments describe."""
    from model_servers.adapters.loose_files import Arguments, LooseFiles

    def path(given: str | None) -> Path | None:
        return Path(given) if given else None

    return LooseFiles(
        Arguments(
            model_name=options.model_name,
            version=options.version,
            model_file=Path(options.model_file),
            config_file=Path(options.config_file),
            checkpoint_file=Path(options.checkpoint_file),
            requirements_file=path(options.requirements_file),
            extra_files=tuple(
                # resolved, so that `.` and `lib/` have a name
                Path(one.strip()).resolve()
                for one in options.extra_files.split(",")
                if one.strip()
            ),
        )
    )


def model_texts(settings: Settings) -> ModelTexts:
    """Give the documents of the checkout's models, to be edited."""
    from model_servers.adapters.model_texts import ModelTexts

    return ModelTexts(settings.registry)


def lock(settings: Settings) -> Lock:
    """Give the journey that writes down what a model is made of."""
    from model_servers.adapters.requirements import resolved
    from model_servers.journeys.lock import Lock

    return Lock(
        registry=registry(settings),
        texts=model_texts(settings),
        resolve=partial(resolved, python=sys.executable),
    )


def history(
    settings: Settings, ref: str, names: Collection[str]
) -> AbstractContextManager[History]:
    """Give models where the branch began, to be entered.

    Those that changed since then, if none is named.
    """
    from model_servers.adapters.history import history

    return history(settings.registry, ref, names)


def stamp(settings: Settings, name: str) -> object:
    """Give what is different after an edit of a model's files."""
    from model_servers.adapters import listing

    return listing.stamp(settings.registry / name)


def golden_files(settings: Settings) -> GoldenFiles:
    """Give what writes golden cases."""
    from model_servers.adapters.golden_files import GoldenFiles

    return GoldenFiles(settings.registry)


def schemas() -> dict[str, dict[str, Any]]:
    """Give the schemas of all documents, by name."""
    from model_servers.adapters.schemas import all_schemas

    return all_schemas()


def publish(settings: Settings, at: ProbedStore) -> Publish:
    """Give the publish journey into the store *at*."""
    from model_servers.journeys.publish import Publish

    return Publish(build=build(settings), store=at, releases=releases(at))


@contextmanager
def as_released(settings: Settings, release: Release) -> Iterator[Build]:
    """Give the build of the models as they were when *release* was made."""
    from model_servers.adapters.history import at_commit

    if release.git_commit is None:
        yield build(settings)
        return
    name = release.ref.name
    with at_commit(settings.registry, release.git_commit, name) as models:
        yield build_from(with_weights(models, settings))


def reports(path: Path) -> list[Mapping[str, Any]]:
    """Read what ``ms test`` has reported."""
    from model_servers.adapters import reports

    return reports.read(path)


def site(settings: Settings, target: Path, *, url: str | None) -> Site:
    """Give the journey that writes the catalogue into a folder."""
    from model_servers.adapters import git
    from model_servers.journeys.site import Site

    try:
        from model_servers.adapters.site_pages import StaticPages
    except ModuleNotFoundError as error:
        raise RequestError(
            f"the catalogue needs {error.name}, which is not installed",
            hint="pip install 'model-servers[site]'",
        ) from error
    at = None
    if settings.store is not None:
        at = store(settings.store, endpoint_url=settings.endpoint_url)
    return Site(
        registry=registry(settings),
        store=at,
        releases=None if at is None else releases(at),
        commit_dates=partial(git.commit_dates, settings.registry),
        pages=StaticPages(target, url=url),
    )


def announce(settings: Settings, at: Store) -> Announce:
    """Give the journey that tells GitHub of the releases in the store *at*."""
    from model_servers.adapters import texts
    from model_servers.adapters.github import GitHubReleases
    from model_servers.core.notes import CHANGELOG_FILE
    from model_servers.journeys.announce import Announce

    def changelog(name: str) -> str:
        file = registry(settings).path(name, CHANGELOG_FILE)
        return texts.read_if_text(file) if file.is_file() else ""

    return Announce(
        releases=releases(at),
        announcements=GitHubReleases(settings.registry),
        changelog=changelog,
    )


def work_since(settings: Settings, ref: str) -> Work:
    """Give what changed since the branch began."""
    from model_servers.adapters import changes

    return changes.since(settings.registry, ref)
