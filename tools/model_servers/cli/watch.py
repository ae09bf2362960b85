"""Shows long work on stderr as it happens, and remembers what a report needs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


def say(text: str, end: str = "\n") -> None:
    """Write a line to stderr: the talk, not the answer.

    Whether anybody hears it, or its disk is full, decides about nothing that is done.
    """
    with suppress(OSError):
        print(text, file=sys.stderr, end=end, flush=True)


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
        self._screen = _Screen()

    def starts(self, action: Action) -> None:
        """Show on a terminal what is being waited for, unless bytes are."""
        self._screen.wait_for(action_text(action))

    def fetching(self, release: Release, size_bytes: int) -> OnBytes:
        """Show bytes, rate and time left of all that is fetched now."""
        return self._screen.begin(f"fetch {release.ref}", size_bytes)

    def fetched(
        self,
        release: Release,
        *,
        is_whole: bool,  # noqa: ARG002 - its change tells
    ) -> None:
        """Show the others, if any."""
        self._screen.end(f"fetch {release.ref}")

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
        if isinstance(action, Register):
            self.ready_s[change.name] = seconds
        self._screen.say(f"  {action_text(action)}: {seconds:.1f} s")

    def answered(self, verdict: Verdict) -> None:
        """Keep the verdict for the report."""
        self.verdicts.append(verdict)

    def failed(self, change: Change, error: ModelServersError) -> None:
        """Write what ended a model's change."""
        self.failures[change.name] = error
        hint = f"\n    hint: {error.hint}" if error.hint else ""
        self._screen.say(f"  {change.name}: {error}{hint}")

    def close(self) -> None:
        """Take the bar off the screen."""
        self._screen.close()

    def _progress(self, text: str, size_bytes: int) -> OnBytes:
        self.close()
        return self._screen.begin(text, size_bytes)


class _Screen:
    """One bar for all bytes that move now, below what was said; for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bar: tqdm[NoReturn] | None = None
        self._left: dict[str, int] = {}
        """How many bytes of each have not come."""

        self._waiting = ""

    def say(self, text: str) -> None:
        """Write lines about what was waited for, above the bar."""
        with self._lock:
            self._waiting = ""
            if self._bar is not None:
                self._bar.clear()
            say(text)
            if self._bar is not None:
                self._bar.refresh()

    def wait_for(self, text: str) -> None:
        """Show this while there is no bar."""
        with self._lock:
            self._waiting = text
            if self._bar is None:
                self._show_waiting()

    def begin(self, text: str, size_bytes: int) -> OnBytes:
        """Add to what the bar is of."""
        if not size_bytes:
            return lambda _: None
        with self._lock:
            self._left[text] = size_bytes
            if self._bar is None:
                self._bar = _bar(text, size_bytes)
            else:
                self._of(self._bar, added_bytes=size_bytes)

        def on_bytes(count: int) -> None:
            with self._lock:
                if self._bar is not None and text in self._left:
                    self._left[text] -= count
                    self._bar.update(count)

        return on_bytes

    def end(self, text: str) -> None:
        """Wait no longer for the rest of it; the last one takes the bar along."""
        with self._lock:
            missing_bytes = self._left.pop(text, 0)
            if self._bar is not None and self._left:
                self._of(self._bar, added_bytes=-missing_bytes)
            elif self._bar is not None:
                self._close(self._bar)
                self._show_waiting()

    def close(self) -> None:
        """Take the bar off the screen."""
        with self._lock:
            if self._bar is not None:
                self._close(self._bar)

    def _close(self, bar: tqdm[NoReturn]) -> None:
        bar.close()
        self._bar = None
        self._left.clear()

    def _of(self, bar: tqdm[NoReturn], *, added_bytes: int) -> None:
        bar.total = (bar.total or 0) + added_bytes
        first, *others = self._left
        bar.set_description(f"{first} and {len(others)} more" if others else first)

    def _show_waiting(self) -> None:
        if self._waiting and is_watched():
            say(f"  … {self._waiting}", end="\r")


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
