"""Shows long work on stderr as it happens, and remembers what a report needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from model_servers.cli.host.report import action_text
from model_servers.cli.render import released_text
from model_servers.core.changes import Action, Change, Register
from model_servers.core.presentation import visible

if TYPE_CHECKING:
    from tqdm import tqdm

    from model_servers.core.fsck import Fault
    from model_servers.core.objects import Moved
    from model_servers.core.release import Release
    from model_servers.errors import ModelServersError
    from model_servers.journeys.host.acting import Verdict
    from model_servers.ports import OnBytes


def say(text: str) -> None:
    """Write a line to stderr: the talk, not the answer."""
    print(text, file=sys.stderr, flush=True)


def is_watched() -> bool:
    """Say whether a person looks on: a terminal, and no CI."""
    return sys.stderr.isatty() and not os.environ.get("CI")


class ConsoleWatcher:
    """A watcher of syncs."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.ready_s: dict[str, float] = {}
        """How long each model took from its registration to all workers ready."""

        self.failures: dict[str, ModelServersError] = {}
        self._bar: tqdm[NoReturn] | None = None

    def starts(self, action: Action) -> None:
        """Show on a terminal what is being waited for."""
        if is_watched():
            print(f"  … {action_text(action)}", file=sys.stderr, end="\r", flush=True)

    def fetching(self, release: Release, size_bytes: int) -> OnBytes:
        """Show bytes, rate and time left."""
        return self._progress(f"fetch {release.ref}", size_bytes)

    def uploading(self, release: Release) -> OnBytes:
        """Show bytes, rate and time left."""
        return self._progress(f"upload {release.ref}", release.archive.size_bytes)

    def released(self, release: Release, moved: Moved) -> None:
        """Write a line about a release that is there."""
        self.close()
        say(f"released {released_text(release, moved)}")
        if moved.why_not_copied:
            say(f"  the store could not copy, so all was sent: {moved.why_not_copied}")

    def storing(self, name: str, size_bytes: int) -> OnBytes:
        """Show bytes, rate and time left."""
        return self._progress(f"store {name}", size_bytes)

    def checking(self, key: str, size_bytes: int) -> OnBytes:
        """Show bytes, rate and time left."""
        return self._progress(f"check {key.rpartition('/')[2]}", size_bytes)

    def found(self, fault: Fault) -> None:
        """Write at once what is wrong; a long check may be interrupted."""
        self.close()
        say(f"  ! {visible(fault.key)}: {visible(fault.message)}")

    def done(self, change: Change, action: Action, seconds: float) -> None:
        """Write a line about a finished action."""
        self.close()
        if isinstance(action, Register):
            self.ready_s[change.name] = seconds
        say(f"  {action_text(action)}: {seconds:.1f} s")

    def answered(self, verdict: Verdict) -> None:
        """Keep the verdict for the report."""
        self.verdicts.append(verdict)

    def failed(self, change: Change, error: ModelServersError) -> None:
        """Write what ended a model's change."""
        self.close()
        self.failures[change.name] = error
        say(f"  {change.name}: {error}")
        if error.hint:
            say(f"    hint: {error.hint}")

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _progress(self, text: str, size_bytes: int) -> OnBytes:
        self.close()
        bar = _bar(text, size_bytes)
        self._bar = bar

        def on_bytes(count: int) -> None:
            bar.update(count)

        return on_bytes


def fetching(what: str, size_bytes: int) -> OnBytes:
    """Show how weights come; the bar goes with the last byte."""
    say(f"fetch {visible(what)}")
    bar = _bar("fetch", size_bytes)

    def on_bytes(count: int) -> None:
        bar.update(count)
        if bar.n >= size_bytes:
            bar.close()

    return on_bytes


def _bar(text: str, size_bytes: int) -> tqdm[NoReturn]:
    from tqdm import tqdm

    return tqdm(
        desc=text,
        total=size_bytes,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        leave=False,
        disable=not is_watched() or size_bytes == 0,
    )


@contextmanager
def watcher() -> Iterator[ConsoleWatcher]:
    """Give a watcher whose bar is gone in the end."""
    console = ConsoleWatcher()
    try:
        yield console
    finally:
        console.close()
