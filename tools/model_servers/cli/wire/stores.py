"""Builds what works on stores; the host install has no S3 client until it asks."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from model_servers.cli.settings import Settings
from model_servers.errors import RequestError

if TYPE_CHECKING:
    from model_servers.core.given import GivenArchive
    from model_servers.core.profile import HostProfile
    from model_servers.journeys.catalog import Catalog
    from model_servers.journeys.channels import Channels
    from model_servers.journeys.fetch import Fetch
    from model_servers.journeys.fsck import Fsck
    from model_servers.journeys.given import PublishGiven
    from model_servers.journeys.mirror import Mirror
    from model_servers.ports import (
        Content,
        ProbedStore,
        Releases,
        Store,
    )


def store(
    url: str | None,
    *,
    endpoint_url: str | None,
    is_new: bool = True,
    flag: str = "--store",
) -> ProbedStore:
    """Give the store at *url*, which *flag* names.

    A folder may be missing if it *is_new*; to others, it would look like an empty one.
    """
    if url is None:
        raise RequestError(
            "no store is given",
            hint="add --store file:///folder or --store s3://bucket/prefix",
        )
    scheme, separator, rest = url.partition("://")
    if scheme == "file" and rest.startswith("/"):
        from model_servers.adapters.local_store import LocalStore

        return LocalStore(Path(unquote(rest)), is_new=is_new)
    bucket, _, prefix = rest.partition("/")
    if scheme == "s3" and separator and bucket:
        return _s3_store(bucket, prefix, endpoint_url)
    raise RequestError(
        f"the store {url!r} is neither file:///folder nor s3://bucket/prefix",
        hint=f"correct {flag}",
    )


def host_store(settings: Settings, host: HostProfile) -> ProbedStore:
    """Give the store that a host reads; an S3 client is made once it is asked.

    A rollback asks nothing, and should not wait for a client.
    """
    url = settings.store or host.store
    if url is not None and url.startswith("s3://"):
        return cast("ProbedStore", _WhenAsked(url.rstrip("/"), settings.endpoint_url))
    return store(url, endpoint_url=settings.endpoint_url, is_new=False)


class _WhenAsked:
    """Stands for a store until it is made."""

    def __init__(self, address: str, endpoint_url: str | None) -> None:
        self.address = address
        self._endpoint_url = endpoint_url

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @cached_property
    def _store(self) -> ProbedStore:
        return store(self.address, endpoint_url=self._endpoint_url)


def releases(at: Store) -> Releases:
    """Give the releases in the store *at*."""
    from model_servers.adapters.releases import StoredReleases

    return StoredReleases(at)


def publish_given(at: ProbedStore) -> PublishGiven:
    """Give the journey that releases archives as they are."""
    from model_servers.journeys.given import PublishGiven

    return PublishGiven(store=at, releases=releases(at))


def given_archive(path: Path) -> GivenArchive:
    """Read an archive that others have made."""
    from model_servers.adapters import given_archive

    return given_archive.read(path)


def file_content(path: Path) -> Content:
    """Give a file as what an object shall be."""
    from model_servers.adapters.file_content import FileContent

    return FileContent(path)


def hashed_content(path: Path, sha256: str) -> Content:
    """Give a file as what an object shall be, as long as it has this digest."""
    from model_servers.adapters.file_content import HashedContent

    return HashedContent(path, sha256)


def mirror(settings: Settings, source: Store, target: ProbedStore) -> Mirror:
    """Give the journey that copies releases between stores.

    Archives on their way have a folder for each target, where the next run finds them.
    """
    from model_servers.adapters.passing_archives import PassingArchives
    from model_servers.journeys.mirror import Mirror

    scheme, _, rest = target.address.partition("://")
    return Mirror(
        source=source,
        source_releases=releases(source),
        target=target,
        target_releases=releases(target),
        archives=PassingArchives(
            settings.work / "mirror" / _short(target),
            stored=Path(rest) if scheme == "file" else None,
        ),
    )


def fsck(settings: Settings, at: ProbedStore) -> Fsck:
    """Give the check of the store *at*; each store has a journal of its own."""
    from model_servers.adapters.journal import FileJournal
    from model_servers.adapters.segment_digests import blake3_of
    from model_servers.journeys.fsck import Fsck

    journal = FileJournal(settings.work / "fsck" / f"{_short(at)}.journal")
    return Fsck(
        store=at,
        releases=releases(at),
        channels=channels(at),
        journal=journal,
        blake3_of=blake3_of,
    )


def catalog(at: ProbedStore) -> Catalog:
    """Give the index of the store *at*."""
    from model_servers.journeys.catalog import Catalog

    return Catalog(store=at, releases=releases(at))


def channels(at: ProbedStore) -> Channels:
    """Give the journey of the channels of the store *at*."""
    from model_servers.adapters.channels import read_pointer
    from model_servers.journeys.channels import Channels

    return Channels(store=at, catalog=catalog(at), read_pointer=read_pointer)


def fetch(folder: Path, at: ProbedStore) -> Fetch:
    """Give the journey that brings archives of the store *at* into a folder."""
    from model_servers.adapters.archive_folder import ArchiveFolder
    from model_servers.journeys.fetch import Fetch

    return Fetch(
        store=at,
        releases=releases(at),
        archives=ArchiveFolder(folder),
        channels=channels(at),
    )


def _short(at: Store) -> str:
    """Give a store a short name that no other has."""
    return hashlib.sha256(at.address.encode()).hexdigest()[:16]


def _s3_store(bucket: str, prefix: str, endpoint_url: str | None) -> ProbedStore:
    try:
        from model_servers.adapters.s3_store import S3Store
    except ModuleNotFoundError as error:
        raise RequestError(
            f"stores in S3 need {error.name}, which is not installed",
            hint="pip install 'model-servers[s3]'",
        ) from error
    return S3Store(bucket, prefix, endpoint_url=endpoint_url)
