"""Fetching ahead: bytes of several models at once, all else in the plan's order."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.host import Clock, Host, Models, Recorder
from model_servers.adapters import disk
from model_servers.core.changes import Action, Change, Install, Register
from model_servers.core.guards import Override
from model_servers.core.names import Ref
from model_servers.core.release import Release
from model_servers.errors import ModelServersError, OutsideError
from model_servers.journeys.host import ahead

LIMIT_S = 60
CAT_1, CAT_2 = Ref.parse("cat@1.0.0"), Ref.parse("cat@1.10.0")
DOG = Ref.parse("dog@1.0.0")
BOTH = {"cat": "1.0.0", "dog": "1.0.0"}
BOTH_REFS = (CAT_1, DOG)
REACHED = {"cat": ("1.0.0", ["1.0.0"]), "dog": ("1.0.0", ["1.0.0"])}
WEIGHTS = random.Random(1).randbytes(ahead._WORTH_WAITING_BYTES + 1)


class Log(Recorder):
    """Remembers in which order things happened, and how many fetches ran at once."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.at: dict[str, Callable[[], None]] = {}
        """What to do at a line, after it was noted."""

    def starts(self, action: Action) -> None:
        super().starts(action)
        if isinstance(action, (Install, Register)):
            self._note(f"{type(action).__name__.lower()} {action.ref}")

    def fetching(self, release: Release, size_bytes: int) -> Callable[[int], None]:
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self._note(f"fetch {release.ref}")
        return super().fetching(release, size_bytes)

    def fetched(self, release: Release, *, is_whole: bool) -> None:
        super().fetched(release, is_whole=is_whole)
        with self.lock:
            self.at_once -= 1
        self._note(f"{'fetched' if is_whole else 'broken'} {release.ref}")

    def failed(self, change: Change, error: ModelServersError) -> None:
        super().failed(change, error)
        self._note(f"failed {change.name}")

    def _note(self, line: str) -> None:
        self.lines.append(line)
        self.at.get(line, lambda: None)()


def apply(
    host: Host,
    models: Models,
    log: Log,
    *,
    before_read: Callable[[str], None] = lambda key: None,
    goes_on: Callable[[], bool] = lambda: True,
) -> None:
    """Apply with a store that waits for something before it gives a byte."""
    resolved = host.resolve(models)
    plan = host.sync.plan(resolved.desired)
    host.store.before_read = before_read
    try:
        host.sync.apply(plan, resolved, log, goes_on=goes_on)
    finally:
        host.store.before_read = lambda key: None


def all_at_once(*names: str) -> Callable[[str], None]:
    """Let nobody read before all of these models are read."""
    meeting = threading.Barrier(len(names))
    met: set[str] = set()

    def before_read(key: str) -> None:
        name = key.split("/")[1]
        if name in names and name not in met:
            met.add(name)
            meeting.wait(LIMIT_S)

    return before_read


def test_two_models_are_fetched_at_once_and_registered_one_after_the_other(
    host: Host,
) -> None:
    log = Log()

    apply(host, BOTH, log, before_read=all_at_once("cat", "dog"))

    assert host.server.calls == [("register", "cat@1.0.0"), ("register", "dog@1.0.0")]
    assert sorted(log.fetched_) == [CAT_1, DOG]
    others = [line for line in log.lines if not line.startswith("fetch")]
    assert others == [
        f"{do} {ref}" for ref in BOTH_REFS for do in ("install", "register")
    ]


def test_only_so_many_are_fetched_at_once(host: Host) -> None:
    names = ("ant", "bee", "cow", "emu", "fox")
    for name in names:
        host.publish(Ref.parse(f"{name}@1.0.0"))
    log = Log()

    first = names[: ahead.AT_ONCE]
    models = dict.fromkeys(names, "1.0.0")
    apply(host, models, log, before_read=all_at_once(*first))

    assert log.most_at_once == ahead.AT_ONCE
    begun = [line.split()[1][:3] for line in log.lines if line.startswith("fetch ")]
    assert sorted(begun[: ahead.AT_ONCE]) == list(first)
    assert sorted(begun) == list(names)


def test_versions_of_one_model_come_one_after_the_other_and_share_their_bytes(
    host: Host,
) -> None:
    log = Log()

    apply(host, {"cat": {"default": "1.10.0", "also": ["1.0.0"]}}, log)

    fetches = [line for line in log.lines if line.startswith("fetch")]
    assert fetches == [
        f"{do} {ref}" for ref in (CAT_2, CAT_1) for do in ("fetch", "fetched")
    ]
    second = host.sync.releases.find(CAT_1)
    assert second is not None
    alone = sum(member.length for member in second.archive.members)
    assert log.fetched_bytes < 2 * alone


def test_weights_that_two_models_share_come_once(tmp_path: Path, clock: Clock) -> None:
    host, log = Host(tmp_path, clock), Log()
    for ref in (CAT_1, DOG):
        host.publish(ref, files={"checkpoint.pt": WEIGHTS})

    apply(host, BOTH, log)

    assert log.most_at_once == 1
    assert len(WEIGHTS) < log.fetched_bytes < 2 * len(WEIGHTS)
    assert host.state() == REACHED


@pytest.mark.parametrize(("broken", "whole"), [("cat", "dog"), ("dog", "cat")])
def test_a_fetch_that_fails_is_told_in_its_turn_and_stops_no_other(
    host: Host, broken: str, whole: str
) -> None:
    release = host.sync.releases.find(Ref.parse(f"{broken}@1.0.0"))
    assert release is not None
    log = Log()
    resolved = host.resolve(BOTH)
    plan = host.sync.plan(resolved.desired)
    host.store.objects[release.key] = bytes(release.archive.size_bytes)
    host.store.before_read = all_at_once("cat", "dog")

    with pytest.raises(OutsideError, match=f"^1 of 2 models failed: {broken}$"):
        host.sync.apply(plan, resolved, log)

    assert str(log.failures[broken]).startswith("wrong bytes came for ")
    assert host.state() == {whole: ("1.0.0", ["1.0.0"])}
    turn = log.lines.index(f"install {broken}@1.0.0")
    assert log.lines.index(f"failed {broken}") > turn
    assert f"broken {broken}@1.0.0" in log.lines


def test_where_not_all_have_room_each_comes_in_its_turn(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [
        found.archive.size_bytes
        for ref in BOTH_REFS
        if (found := host.sync.releases.find(ref))
    ]
    monkeypatch.setattr(disk, "room_bytes", lambda folder: sum(sizes) - 1)
    log = Log()

    apply(host, BOTH, log)

    assert log.lines == [
        f"{do} {ref}"
        for ref in BOTH_REFS
        for do in ("install", "fetch", "fetched", "register")
    ]


def test_interrupted_it_stops_what_is_fetched_and_the_next_run_goes_on(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, told_to_stop = Log(), threading.Event()

    def interrupt() -> None:
        raise KeyboardInterrupt

    def waits(running: object, timeout: float | None = None) -> None:
        if timeout == ahead._GRACE_S:
            told_to_stop.set()
        wait(running, timeout=timeout)

    def before_read(key: str) -> None:
        if "dog" in key:
            assert told_to_stop.wait(LIMIT_S)

    wait = ahead.wait
    monkeypatch.setattr(ahead, "wait", waits)
    log.at["register cat@1.0.0"] = interrupt

    with pytest.raises(KeyboardInterrupt):
        apply(host, BOTH, log, before_read=before_read)

    assert log.fetched_ == [CAT_1]
    assert not list(_fetching_threads())
    assert DOG not in host.model_store.installed()
    assert host.server.calls == []
    again = host.apply(BOTH)
    assert again.fetched_ == [DOG]
    assert host.state() == REACHED


def _fetching_threads() -> Iterator[threading.Thread]:
    for thread in threading.enumerate():
        if thread.name.startswith("fetch"):
            thread.join(LIMIT_S)
            if thread.is_alive():
                yield thread


def test_told_to_stop_it_ends_the_change_at_work_and_leaves_the_others(
    host: Host,
) -> None:
    log = Log()

    apply(host, BOTH, log, goes_on=lambda: "register cat@1.0.0" not in log.lines)

    assert host.state() == {"cat": ("1.0.0", ["1.0.0"])}
    assert [change.name for change in host.plan(BOTH)[0].pending()] == ["dog"]


def test_a_version_that_serves_is_not_touched_before_its_turn(host: Host) -> None:
    host.apply(BOTH)
    served = _entry(host)
    models = {name: {"default": "1.0.0", "batch_size": 2} for name in BOTH}
    log = Log()
    seen: list[tuple[Path, int]] = []
    log.at["install dog@1.0.0"] = lambda: seen.append(_entry(host))
    allowed = {Override.DOWNTIME, Override.LARGE_CHANGE}
    resolved = host.resolve(models, *allowed)
    plan = host.sync.plan(resolved.desired, allow=allowed)

    host.sync.apply(plan, resolved, log)

    assert seen == [served]
    assert _entry(host) != served


def _entry(host: Host) -> tuple[Path, int]:
    """Tell what the server would register, in either layout."""
    (entry,) = host.root.glob(f"{DOG.entry}*")
    return entry.resolve(), entry.stat().st_ino
