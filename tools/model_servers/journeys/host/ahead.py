"""Fetches the releases of a plan ahead of their turn: a few at a time, in its order.

Only files that no server looks at come ahead: verified trees. What the server sees,
and pip, waits for its turn.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from model_servers.core.changes import Install
from model_servers.core.delta import shared_bytes
from model_servers.core.names import Ref
from model_servers.core.release import Release
from model_servers.interruption import Threads
from model_servers.journeys.released_bytes import ReleasedBytes
from model_servers.ports import ModelStore, OnBytes, Store

AT_ONCE = 3
"""Releases; each has several reads in flight already."""

_WORTH_WAITING_BYTES = 2**20
"""Every model has the shared handler; nobody waits for that."""

_GRACE_S = 5.0
"""For fetches that are told to stop; one whose store hangs is left behind."""


_LOOK_S = 0.5
"""A signal that comes just before a wait without an end would not end it: CPython
looks for signals first and waits then."""


class Watcher(Protocol):
    """Is told what happens, from any thread."""

    def fetching(self, release: Release, size_bytes: int) -> OnBytes:
        """Bytes begin to move; gives the callback for them."""

    def fetched(self, release: Release, *, is_whole: bool) -> None:
        """No more bytes of it move: they are all here, or its change tells why not."""


class _StoppedError(Exception):
    """Nobody waits for this fetch any more."""


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """The fetches of one plan."""

    model_store: ModelStore
    store: Store
    watcher: Watcher
    releases: Mapping[Ref, Release]
    _running: dict[Ref, Future[None]] = field(init=False, default_factory=dict)
    _stopping: threading.Event = field(init=False, default_factory=threading.Event)

    @contextmanager
    def of(self, installs: Sequence[Install]) -> Iterator[None]:
        """Fetch these for as long as the block takes; what is not done then stops.

        A fetch that was stopped, or killed, goes on in the next run. Where the disk
        has no room for all, nothing comes ahead: the first ones shall not fail for
        the sake of the last.

        Raises:
            OutsideError: the disk cannot be asked.
        """
        needed_bytes = sum(install.full_bytes for install in installs)
        if len(installs) < 2 or needed_bytes > self.model_store.room_bytes():
            yield
            return
        pool = Threads(AT_ONCE, thread_name_prefix="fetch")
        try:
            for install in installs:
                earlier = list(self._before(install))
                running = pool.submit(self._after, earlier, install)
                self._running[install.ref] = running
            yield
        finally:
            self._stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            begun = [one for one in self._running.values() if not one.cancelled()]
            wait(begun, timeout=_GRACE_S)

    def fetch(self, install: Install) -> None:
        """Return once the files of a release are on this host.

        Raises:
            OutsideError: they cannot be brought.
        """
        running = self._running.get(install.ref)
        if running is None:
            self._fetch(install)
            return
        while not running.done():
            wait([running], timeout=_LOOK_S)
        running.result()

    def _before(self, install: Install) -> Iterator[Future[None]]:
        """Give the fetches after which much less of a release is left to fetch."""
        release = self.releases[install.ref]
        for ref, running in self._running.items():
            if _is_akin(self.releases[ref], release):
                yield running

    def _after(self, earlier: Sequence[Future[None]], install: Install) -> None:
        wait(earlier)  # They were begun before: the pool keeps the order.
        self._fetch(install)

    def _fetch(self, install: Install) -> None:
        if self._stopping.is_set():
            raise _StoppedError
        release, is_whole = self.releases[install.ref], False
        shown = self.watcher.fetching(release, install.fetch_bytes)

        def on_bytes(count: int) -> None:
            if self._stopping.is_set():
                raise _StoppedError
            shown(count)

        try:
            self.model_store.fetch(
                release,
                chunks=ReleasedBytes(self.store, release).chunks,
                on_bytes=on_bytes,
            )
            is_whole = True
        finally:
            self.watcher.fetched(release, is_whole=is_whole)


def _is_akin(one: Release, other: Release) -> bool:
    return (
        one.ref.name == other.ref.name
        or one.archive.sha256 == other.archive.sha256
        or shared_bytes(one.archive, other.archive) >= _WORTH_WAITING_BYTES
    )
