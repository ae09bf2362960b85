"""Finds out what a store really does, by doing it to keys that go away again."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from model_servers.core.doctor import Check, State
from model_servers.core.objects import Copied, InMemory, Sent
from model_servers.core.reuse import PART_MIN_BYTES
from model_servers.errors import OutsideError
from model_servers.interruption import Threads
from model_servers.ports import ProbedStore

PROBE_PREFIX = "probe/"
"""Where the probes write; nothing else does."""

_RIVALS = 9
_TAIL = b"the end"
_CONDITIONAL = "use a store with conditional writes, such as S3 itself"


@dataclass(frozen=True)
class _Probe:
    """One run: a store, and the prefix that is its own."""

    store: ProbedStore
    prefix: str

    def key(self, name: str) -> str:
        return f"{self.prefix}{name}"


def examine(store: ProbedStore) -> list[Check]:
    """Probe a store; what was written is removed in the end, whatever happens.

    Raises:
        OutsideError: the store cannot be read or written at all.
    """
    list(store.keys(PROBE_PREFIX))
    probe = _Probe(store, f"{PROBE_PREFIX}{secrets.token_hex(8)}/")
    store.create(probe.key("first"), b"")
    checks = [Check(name="address", state=State.OK, found=store.address)]
    try:
        checks += [_judged(name, look, probe) for name, look in _LOOKS.items()]
    finally:
        checks.append(_removed(probe))
    return [*checks, _judged("leftovers", _leftovers, probe)]


def _judged(name: str, look: Callable[[_Probe], Check], probe: _Probe) -> Check:
    try:
        return look(probe)
    except OutsideError as error:
        return Check(
            name=name,
            state=State.PROBLEM,
            found=str(error),
            expected="an answer",
            fix=error.hint,
        )


def _create_only(probe: _Probe) -> Check:
    key = probe.key("created")
    was_created = probe.store.create(key, b"first")
    was_replaced = probe.store.create(key, b"second")
    body = probe.store.read(key)
    return _verdict(
        "create-only writes",
        is_good=was_created and not was_replaced and body == b"first",
        good="what is there is not overwritten",
        bad="what is there can be overwritten, a released version too",
        fix=f"publish nothing here; {_CONDITIONAL}",
    )


def _create_race(probe: _Probe) -> Check:
    key = probe.key("raced")
    bodies = [b"%d" % number for number in range(_RIVALS)]
    won = _raced(bodies, lambda body: probe.store.create(key, body))
    return _verdict(
        "create-only race",
        is_good=len(won) == 1 and probe.store.read(key) == won[0],
        good=f"of {_RIVALS} writers of one key, one won",
        bad=f"of {_RIVALS} writers of one key, {len(won)} were told they won",
        fix=f"let one machine publish at a time; {_CONDITIONAL}",
    )


def _swaps(probe: _Probe) -> Check:
    key = probe.key("swapped")
    probe.store.create(key, b"1")
    first = probe.store.read_movable(key)
    token = "" if first is None else first.token
    was_swapped = probe.store.swap(key, b"2", token)
    was_lost = probe.store.swap(key, b"3", token)
    return _verdict(
        "compare-and-swap",
        is_good=was_swapped and not was_lost and probe.store.read(key) == b"2",
        good=probe.store.comparison,
        bad="an object that somebody else has changed is replaced",
        fix=f"do not move channels here; {_CONDITIONAL}",
    )


def _swap_race(probe: _Probe) -> Check:
    key = probe.key("swap-raced")
    probe.store.create(key, b"first")
    found = probe.store.read_movable(key)
    token = "" if found is None else found.token
    bodies = [b"%d" % number for number in range(_RIVALS)]
    won = _raced(bodies, lambda body: probe.store.swap(key, body, token))
    return _verdict(
        "compare-and-swap race",
        is_good=len(won) == 1 and probe.store.read(key) == won[0],
        good=f"of {_RIVALS} writers that expect the same, one won",
        bad=f"of {_RIVALS} writers that expect the same, {len(won)} were told they won",
        fix=f"let one machine move channels at a time; {_CONDITIONAL}",
    )


def _ranges(probe: _Probe) -> Check:
    key = probe.key("ranged")
    probe.store.create(key, b"0123456789")
    is_exact = probe.store.read_range(key, 3, 4) == b"3456"
    return _verdict(
        "ranged reads",
        is_good=is_exact,
        good="exact",
        bad="other bytes than those that were asked for",
        fix="do not serve hosts from this store",
    )


def _pinned(probe: _Probe) -> Check:
    key = probe.key("pinned")
    probe.store.create(key, b"0123456789")
    try:
        probe.store.read_range(key, 0, 1, token=secrets.token_hex(16))
    except OutsideError:
        return Check(name="pinned reads", state=State.OK, found="enforced")
    return Check(
        name="pinned reads",
        state=State.WARNING,
        found="a read does not notice that the object is another",
        expected="a refusal",
        fix="nothing: every byte is verified after it arrived, so this costs time only",
    )


def _range_copy(probe: _Probe) -> Check:
    start = secrets.token_bytes(PART_MIN_BYTES)
    whole, other = InMemory(start + _TAIL), InMemory(start + _TAIL[::-1])
    probe.store.upload(probe.key("whole"), whole, on_bytes=_nothing)
    moved = probe.store.compose(
        probe.key("composed"),
        other,
        [
            Copied(probe.key("whole"), 0, PART_MIN_BYTES),
            Sent(PART_MIN_BYTES, len(_TAIL)),
        ],
        on_bytes=_nothing,
    )
    if moved.copied_bytes:
        found = "weights are copied inside the store"
        return Check(name="copies by range", state=State.OK, found=found)
    return Check(
        name="copies by range",
        state=State.WARNING,
        found=moved.why_not_copied,
        expected="a copy inside the store",
        fix="nothing: every release is uploaded in full, which costs time only",
    )


def _damage(probe: _Probe) -> Check:
    if not probe.store.takes_damaged(probe.key("damaged"), b"as it was"):
        found = "a body that changed on its way is refused"
        return Check(name="checksums", state=State.OK, found=found)
    return Check(
        name="checksums",
        state=State.WARNING,
        found="a body that changed on its way is taken",
        expected="a refusal",
        fix="reach the store by https; hosts refuse damaged bytes in any case",
    )


def _leftovers(probe: _Probe) -> Check:
    left = probe.store.leftovers()
    abandoned = sum(one.is_abandoned for one in left)
    if not abandoned:
        found = f"{len(left)} at work" if left else "none"
        return Check(name="leftovers", state=State.OK, found=found)
    return Check(
        name="leftovers",
        state=State.WARNING,
        found=f"{abandoned} uploads that nobody finishes, which cost space",
        expected="none",
        fix="ms publish takes them away with the next release; a lifecycle rule "
        "(AbortIncompleteMultipartUpload) does without it",
    )


_LOOKS: dict[str, Callable[[_Probe], Check]] = {
    "create-only writes": _create_only,
    "create-only race": _create_race,
    "compare-and-swap": _swaps,
    "compare-and-swap race": _swap_race,
    "ranged reads": _ranges,
    "pinned reads": _pinned,
    "copies by range": _range_copy,
    "checksums": _damage,
}


def _removed(probe: _Probe) -> Check:
    """Remove what the probes wrote; who may only create cannot, and need not."""
    try:
        for key in list(probe.store.keys(probe.prefix)):
            probe.store.delete(key)
    except OutsideError as error:
        return Check(
            name="probes removed",
            state=State.WARNING,
            found=str(error),
            expected="nothing left",
            fix=f"remove {probe.store.address}/{probe.prefix} as somebody who may",
        )
    return Check(name="probes removed", state=State.OK, found="nothing left")


def _verdict(name: str, *, is_good: bool, good: str, bad: str, fix: str) -> Check:
    if is_good:
        return Check(name=name, state=State.OK, found=good)
    return Check(name=name, state=State.PROBLEM, found=bad, expected=good, fix=fix)


def _raced(bodies: list[bytes], write: Callable[[bytes], bool]) -> list[bytes]:
    """Write all at once; give those whose writers were told that they won."""
    with Threads(len(bodies)) as pool:
        told = list(pool.map(write, bodies))
    return [body for body, won in zip(bodies, told, strict=True) if won]


def _nothing(count: int) -> None:
    """Nobody watches the bytes of a probe."""
