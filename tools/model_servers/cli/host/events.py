"""Writes what a sync does as JSON lines, for programs that follow it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from model_servers.cli.watch import say
from model_servers.core.changes import Action, Change, action_mapping
from model_servers.errors import ModelServersError, OutsideError

if TYPE_CHECKING:
    from model_servers.core.release import Release
    from model_servers.journeys.host.acting import Verdict, Watcher
    from model_servers.ports import OnBytes


@dataclass(frozen=True)
class Events:
    """A watcher that tells another one, and writes a line for each event.

    A file that cannot be written any more is told, and stops nothing.
    """

    shown: Watcher
    stream: TextIO
    now: Callable[[], str]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def starts(self, action: Action) -> None:
        """An action begins."""
        self.write("starts", action=action_mapping(action))
        self.shown.starts(action)

    def fetching(self, release: Release, size_bytes: int) -> OnBytes:
        """Bytes begin to move."""
        self.write("fetching", ref=str(release.ref), size_bytes=size_bytes)
        return self.shown.fetching(release, size_bytes)

    def fetched(self, release: Release, *, is_whole: bool) -> None:
        """No more bytes of it move."""
        if is_whole:
            self.write("fetched", ref=str(release.ref))
        self.shown.fetched(release, is_whole=is_whole)

    def done(self, change: Change, action: Action, seconds: float) -> None:
        """An action has succeeded."""
        self.write(
            "done",
            model=change.name,
            action=action_mapping(action),
            seconds=round(seconds, 3),
        )
        self.shown.done(change, action, seconds)

    def answered(self, verdict: Verdict) -> None:
        """A golden case got its answer."""
        self.write(
            "answered",
            ref=str(verdict.ref),
            case=verdict.case,
            differences=list(verdict.differences),
            latency_ms=round(verdict.latency_ms, 1),
        )
        self.shown.answered(verdict)

    def failed(self, change: Change, error: ModelServersError) -> None:
        """A model's change ended early."""
        self.write("failed", model=change.name, error=str(error), hint=error.hint)
        self.shown.failed(change, error)

    def write(self, event: str, **facts: Any) -> None:
        """Write one line, whoever writes another one now."""
        line = json.dumps({"time": self.now(), "event": event, **facts})
        with self.lock:
            if self.stream.closed:
                return
            try:
                self.stream.write(f"{line}\n")
                self.stream.flush()
            except OSError as error:
                say(f"ms: {self.stream.name} gets no more events: {error.strerror}")
                with suppress(OSError):
                    self.stream.close()


@contextmanager
def events(
    shown: Watcher, path: str | None, now: Callable[[], str]
) -> Iterator[Watcher]:
    """Give a watcher that also adds to the file at *path*, if one is named.

    Raises:
        OutsideError: the file cannot be written.
    """
    if path is None:
        yield shown
        return
    try:
        stream = Path(path).open("a", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as error:
        raise OutsideError(
            f"events cannot be written to {path}: {error.strerror}",
            hint="name another file with --events",
        ) from error
    with stream:
        yield Events(shown, stream, now)
