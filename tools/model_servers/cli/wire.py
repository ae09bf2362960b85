"""Makes adapters from settings; the only place that does.

Adapters are imported where they are made, so that ``ms validate`` needs no S3
client and ``ms --help`` nothing at all.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from model_servers.cli.settings import Settings
from model_servers.core.doctor import Machine
from model_servers.core.notes import CHANGELOG_FILE
from model_servers.core.profile import HostProfile
from model_servers.core.spec import Serving
from model_servers.core.work import Work
from model_servers.errors import RequestError
from model_servers.journeys.announce import Announce
from model_servers.journeys.build import Build
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.channels import Channels
from model_servers.journeys.examine import Examine
from model_servers.journeys.init import Init
from model_servers.journeys.loading import Entries
from model_servers.journeys.lock import Lock
from model_servers.journeys.publish import Publish
from model_servers.journeys.sync import Sync
from model_servers.journeys.workbench import Workbench

if TYPE_CHECKING:
    from model_servers.adapters.model_store import LocalModelStore
    from model_servers.adapters.requirements import Requirements
    from model_servers.adapters.torchserve_process import Addresses
    from model_servers.ports import (
        GoldenFiles,
        History,
        ModelServer,
        ModelStore,
        ModelTexts,
        ProbedStore,
        Registry,
        Releases,
        Store,
    )


def registry(settings: Settings) -> Registry:
    """Give the models of the checkout."""
    from model_servers.adapters.checkout import Checkout

    return Checkout(settings.registry)


def init(settings: Settings) -> Init:
    """Give the journey that makes new models."""
    from model_servers.adapters import checkpoint_file
    from model_servers.adapters.new_models import NewModels

    return Init(
        registry=registry(settings),
        new_models=NewModels(settings.registry),
        read_checkpoint=checkpoint_file.read,
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
    return build_from(registry(settings))


def build_from(models: Registry) -> Build:
    """Give the build journey for models wherever they are."""
    from model_servers.adapters.mar import MarWriter

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


def model_texts(settings: Settings) -> ModelTexts:
    """Give the documents of the checkout's models, to be edited."""
    from model_servers.adapters.model_texts import ModelTexts

    return ModelTexts(settings.registry)


def lock(settings: Settings) -> Lock:
    """Give the journey that writes down what a model is made of."""
    from model_servers.adapters.requirements import resolved

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


def publish(settings: Settings, at: ProbedStore) -> Publish:
    """Give the publish journey into the store *at*."""
    return Publish(build=build(settings), store=at, releases=releases(at))


def channels(at: ProbedStore) -> Channels:
    """Give the journey of the channels of the store *at*."""
    from model_servers.adapters.channels import read_pointer

    catalog = Catalog(store=at, releases=releases(at))
    return Channels(store=at, catalog=catalog, read_pointer=read_pointer)


def announce(settings: Settings, at: Store) -> Announce:
    """Give the journey that tells GitHub of the releases in the store *at*."""
    from model_servers.adapters import texts
    from model_servers.adapters.github import GitHubReleases

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


def profile(settings: Settings) -> HostProfile:
    """Read the host profile; its findings are a usage error of this host."""
    from model_servers.adapters import documents

    path = settings.profile
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise RequestError(
            f"there is no host profile {path}",
            hint="write it (docs/host-profile.md), or name it with --profile",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(
            f"the host profile {path} cannot be read: {error}"
        ) from error
    document, findings = documents.load(
        text, schema="sync", path=path.name, shown_as=str(path)
    )
    if document is None:
        raise RequestError(
            "\n".join(str(finding) for finding in findings), hint=findings[0].fix
        )
    return HostProfile.from_mapping(document.data)


def sync(settings: Settings, host: HostProfile) -> Sync:
    """Give the sync journey of a host."""
    from model_servers.adapters.releases import StoredReleases
    from model_servers.adapters.torchserve_api import TorchServeApi

    at = store(settings.store or host.store, endpoint_url=settings.endpoint_url)
    return Sync(
        server=TorchServeApi(management=host.management, inference=host.inference),
        model_store=model_store(host),
        store=at,
        releases=StoredReleases(at),
        drain_s=host.drain_s,
    )


def model_store(host: HostProfile) -> LocalModelStore:
    """Give the model store of a host."""
    from model_servers.adapters.model_store import LocalModelStore

    if host.model_store is None:
        raise RequestError(
            "the host profile does not say where TorchServe's model store is",
            hint="add `model_store: /absolute/path` to it",
        )
    return LocalModelStore(Path(host.model_store), python=host.python or sys.executable)


def torchserve(
    model_store: Path,
    *,
    logs: Path,
    port: int | None,
    system_java: bool,
    packages: Path | None = None,
) -> AbstractContextManager[Addresses]:
    """Give a TorchServe of our own, to be entered."""
    from model_servers.adapters import torchserve_process

    return torchserve_process.torchserve(
        model_store, logs=logs, port=port, system_java=system_java, packages=packages
    )


def server(addresses: Addresses, *, ending: str = "") -> ModelServer:
    """Give a TorchServe of our own as a model server."""
    from model_servers.adapters.torchserve_api import TorchServeApi

    return TorchServeApi(
        management=addresses.management, inference=addresses.inference, ending=ending
    )


@contextmanager
def workbench(
    options: argparse.Namespace, folder: Path
) -> Iterator[tuple[Workbench, Addresses]]:
    """Give a model store and a TorchServe of our own, for as long as the block takes.

    Args:
        options: of the command, as ``--port`` and ``--system-java``.
        folder: where it keeps what a second run can use again, and its logs.
    """
    from model_servers.adapters.model_store import LocalModelStore

    store = LocalModelStore(folder / "model_store", python=sys.executable)
    with (
        store.locked(),
        _emptied(store),
        torchserve(
            folder / "model_store",
            logs=folder / "logs",
            port=options.port,
            system_java=options.system_java,
        ) as addresses,
    ):
        yield Workbench(server=server(addresses), model_store=store), addresses


@contextmanager
def _emptied(store: ModelStore) -> Iterator[None]:
    """Leave no release behind, nor find one that a killed process left."""
    _empty(store)
    try:
        yield
    finally:
        _empty(store)


def _empty(store: ModelStore) -> None:
    for ref in store.installed():
        store.forget(ref)


def plain_archive(serving: Serving, addresses: Addresses) -> Entries:
    """Give the only archive of a TorchServe of our own."""
    from model_servers.adapters.plain_archives import PlainArchive

    return PlainArchive(serving, temp=addresses.temp)


def requirements(folder: Path) -> Requirements:
    """Give what installs requirements, once each."""
    from model_servers.adapters.requirements import Requirements

    return Requirements(folder, sys.executable)


def examine(at: ModelServer) -> Examine:
    """Give the journey that examines what a server of this machine serves."""
    from model_servers.adapters import processes

    return Examine(server=at, memory_mib=processes.memory_mib)


def stamp(settings: Settings, name: str) -> object:
    """Give what is different after an edit of a model's files."""
    from model_servers.adapters import listing

    return listing.stamp(settings.registry / name)


def golden_files(settings: Settings) -> GoldenFiles:
    """Give what writes golden cases."""
    from model_servers.adapters.golden_files import GoldenFiles

    return GoldenFiles(settings.registry)


def _s3_store(bucket: str, prefix: str, endpoint_url: str | None) -> ProbedStore:
    try:
        from model_servers.adapters.s3_store import S3Store
    except ModuleNotFoundError as error:
        raise RequestError(
            f"stores in S3 need {error.name}, which is not installed",
            hint="pip install 'model-servers[s3]'",
        ) from error
    return S3Store(bucket, prefix, endpoint_url=endpoint_url)
