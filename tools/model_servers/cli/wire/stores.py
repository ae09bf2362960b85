"""Builds what works on stores; the host install has no S3 client until it asks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from model_servers.cli.settings import Settings
from model_servers.cli.wire.models import build, build_from, registry
from model_servers.core.release import Release
from model_servers.errors import RequestError
from model_servers.journeys.build import Build
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.channels import Channels
from model_servers.journeys.fetch import Fetch
from model_servers.journeys.fsck import Fsck
from model_servers.journeys.mirror import Mirror
from model_servers.journeys.publish import Publish
from model_servers.journeys.site import Site

if TYPE_CHECKING:
    from model_servers.ports import (
        ProbedStore,
        Releases,
        Store,
    )


def store(url: str | None, *, endpoint_url: str | None) -> ProbedStore:
    """Give the store at *url*."""
    if url is None:
        raise RequestError(
            "no store is given",
            hint="add --store file:///folder or --store s3://bucket/prefix",
        )
    scheme, separator, rest = url.partition("://")
    if scheme == "file" and rest.startswith("/"):
        from model_servers.adapters.local_store import LocalStore

        return LocalStore(Path(unquote(rest)))
    bucket, _, prefix = rest.partition("/")
    if scheme == "s3" and separator and bucket:
        return _s3_store(bucket, prefix, endpoint_url)
    raise RequestError(
        f"the store {url!r} is neither file:///folder nor s3://bucket/prefix",
        hint="correct --store",
    )


def releases(at: Store) -> Releases:
    """Give the releases in the store *at*."""
    from model_servers.adapters.releases import StoredReleases

    return StoredReleases(at)


def publish(settings: Settings, at: ProbedStore) -> Publish:
    """Give the publish journey into the store *at*."""
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
        yield build_from(models)


def mirror(source: Store, target: ProbedStore) -> Mirror:
    """Give the journey that copies releases between stores."""
    return Mirror(
        source=source,
        source_releases=releases(source),
        target=target,
        target_releases=releases(target),
    )


def fsck(settings: Settings, at: ProbedStore) -> Fsck:
    """Give the check of the store *at*; each store has a journal of its own."""
    from model_servers.adapters.journal import FileJournal

    name = hashlib.sha256(at.address.encode()).hexdigest()[:16]
    journal = FileJournal(settings.work / "fsck" / f"{name}.journal")
    return Fsck(store=at, releases=releases(at), journal=journal)


def channels(at: ProbedStore) -> Channels:
    """Give the journey of the channels of the store *at*."""
    from model_servers.adapters.channels import read_pointer

    catalog = Catalog(store=at, releases=releases(at))
    return Channels(store=at, catalog=catalog, read_pointer=read_pointer)


def fetch(folder: Path, at: ProbedStore) -> Fetch:
    """Give the journey that brings archives of the store *at* into a folder."""
    from model_servers.adapters.archive_folder import ArchiveFolder

    return Fetch(
        store=at,
        releases=releases(at),
        archives=ArchiveFolder(folder),
        channels=channels(at),
    )


def site(settings: Settings, target: Path, *, url: str | None) -> Site:
    """Give the journey that writes the catalogue into a folder."""
    from model_servers.adapters import git

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


def _s3_store(bucket: str, prefix: str, endpoint_url: str | None) -> ProbedStore:
    try:
        from model_servers.adapters.s3_store import S3Store
    except ModuleNotFoundError as error:
        raise RequestError(
            f"stores in S3 need {error.name}, which is not installed",
            hint="pip install 'model-servers[s3]'",
        ) from error
    return S3Store(bucket, prefix, endpoint_url=endpoint_url)
