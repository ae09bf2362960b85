"""Builds what serves: TorchServe, a host's model store, and the journeys of both."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli.settings import Settings
from model_servers.cli.wire.stores import channels, host_store
from model_servers.errors import RequestError

if TYPE_CHECKING:
    from model_servers.adapters.model_store import LocalModelStore
    from model_servers.adapters.requirements import Requirements
    from model_servers.adapters.torchserve_process import Addresses
    from model_servers.core.names import Ref
    from model_servers.core.profile import HostProfile
    from model_servers.core.spec import Serving
    from model_servers.journeys.examine import Examine
    from model_servers.journeys.host.diary import Diary
    from model_servers.journeys.host.sync import Sync
    from model_servers.journeys.loading import Entries
    from model_servers.journeys.workbench import Workbench
    from model_servers.ports import (
        ModelServer,
        ModelStore,
    )


def profile(settings: Settings) -> HostProfile:
    """Read the host profile; its findings are a usage error of this host."""
    from model_servers.adapters import documents
    from model_servers.core.profile import HostProfile

    path = settings.profile
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise RequestError(
            f"there is no host profile {path}",
            hint="write it (docs/host-profile.md), or name it with --profile",
        ) from error
    except OSError as error:
        raise RequestError(
            f"the host profile {path} cannot be read: {error.strerror}",
            hint="correct its permissions, or name another with --profile",
        ) from error
    except UnicodeDecodeError as error:
        raise RequestError(
            f"the host profile {path} cannot be read: byte {error.start} is not UTF-8",
            hint="save the file as UTF-8",
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
    from model_servers.adapters.key_file import KeyFile
    from model_servers.adapters.releases import StoredReleases
    from model_servers.adapters.torchserve_api import TorchServeApi, TorchServeMetrics
    from model_servers.journeys.host.resolve import Resolve
    from model_servers.journeys.host.sync import Sync

    at = host_store(settings, host)
    here = model_store(host)
    return Sync(
        server=TorchServeApi(
            management=host.management,
            inference=host.inference,
            ending=host.layout.ending,
            keys=KeyFile(Path(host.key_file)) if host.key_file else None,
        ),
        model_store=here,
        store=at,
        releases=StoredReleases(at),
        resolve=Resolve(
            store=at,
            releases=StoredReleases(at),
            channels=channels(at),
            model_store=here,
            update=host.policy.update,
        ),
        diary=diary(host),
        counts=TorchServeMetrics(host.metrics),
        policy=host.policy,
    )


def diary(host: HostProfile) -> Diary:
    """Give what a host remembers, to be written by whoever runs this."""
    from model_servers.adapters import person
    from model_servers.adapters.host_memory import FileHostMemory
    from model_servers.journeys.host.diary import Diary

    config = None if host.config is None else Path(host.config)
    root = model_store_path(host)
    memory = FileHostMemory(root, config=config, layout=host.layout)
    return Diary(memory=memory, now=now, who=person.who())


def entry_check(host: HostProfile) -> Callable[[Ref], str]:
    """Give what says why TorchServe could not load an entry of a host."""
    from model_servers.adapters.entries import visible_layout, why_unusable

    root = model_store_path(host)

    def check(ref: Ref) -> str:
        return why_unusable(root, ref, visible_layout(root, ref, host.layout))

    return check


def now() -> str:
    """Give the time in UTC, to the second."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def model_store(host: HostProfile) -> LocalModelStore:
    """Give the model store of a host."""
    from model_servers.adapters.model_store import LocalModelStore

    return LocalModelStore(
        model_store_path(host), python=python_of(host), layout=host.layout
    )


def python_of(host: HostProfile) -> str:
    """Give the Python that runs the workers of a host's TorchServe."""
    return host.python or sys.executable


def model_store_path(host: HostProfile) -> Path:
    """Give the folder that the TorchServe of a host registers from."""
    if host.model_store is None:
        raise RequestError(
            "the host profile does not say where TorchServe's model store is",
            hint="add `model_store: /absolute/path` to it",
        )
    return Path(host.model_store)


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
    from model_servers.journeys.workbench import Workbench

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
    from model_servers.journeys.examine import Examine

    return Examine(server=at, memory_mib=processes.memory_mib)
