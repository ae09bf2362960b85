"""Keeps what a host remembers: pins, channels, what is served, and what was done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from model_servers.core.changes import Change, Sign
from model_servers.core.memory import Event, Failure, Memory, Pin
from model_servers.core.names import Ref, Version
from model_servers.errors import ModelServersError
from model_servers.journeys.host.resolve import Resolved
from model_servers.ports import HostMemory


@dataclass(frozen=True, kw_only=True)
class Diary:
    """The memory of one host, and who writes into it."""

    memory: HostMemory
    now: Callable[[], str]
    """Gives the time in UTC, as ISO 8601 has it."""

    who: str = "ms"
    verb: str = "changed"
    """What is done to models that get another version."""

    def applies(self, resolved: Resolved, *, store: str) -> None:
        """Remember the channels that are applied."""
        memory = self.memory.read()
        self._write(memory, memory.with_generations(store, resolved.generations))

    def lifts(self, change: Change) -> None:
        """Forget a pin that has done, now that a newer version answers."""
        memory = self.memory.read()
        pin = memory.pins.get(change.name)
        if pin is None or change.sign is Sign.REFUSE:
            return
        self._write(memory, memory.with_pin(change.name, None))
        self.unpinned(change.name, pin, why="another version answers")

    def pin(self, ref: Ref, *, why: str, bad: Version | None = None) -> Pin:
        """Have a model keep a version."""
        pin = Pin(version=ref.version, who=self.who, when=self.now(), why=why, bad=bad)
        self.memory.write(self.memory.read().with_pin(ref.name, pin))
        return pin

    def hold_back(self, bad: Ref, *, keeps: Version | None, why: str) -> None:
        """Have a version that failed not be tried again until another one is wanted.

        What a person has pinned stays pinned for as long as that person said.
        """
        memory = self.memory.read()
        there = memory.pins.get(bad.name)
        if there is None or there.failed:
            pin = Pin(
                version=keeps,
                who="ms",
                when=self.now(),
                why=why,
                bad=bad.version,
                failed=True,
            )
        else:
            pin = there.after(bad.version, keeps=keeps, why=why)
        self.memory.write(memory.with_pin(bad.name, pin))

    def hold_back_beside(self, bad: Ref, *, why: str) -> None:
        """Have a version beside the default not be tried again while it is wanted."""
        memory = self.memory.read()
        there = memory.held_back.get(bad.name, ())
        pin = Pin(
            version=None,
            who="ms",
            when=self.now(),
            why=why,
            bad=bad.version,
            failed=True,
        )
        others = [one for one in there if one.bad != bad.version]
        self.memory.write(memory.with_held_back(bad.name, [*others, pin]))

    def still_holds_back(self, change: Change, wanted: Sequence[Pin]) -> None:
        """Forget the versions that failed, and that nobody asks for any more."""
        memory = self.memory.read()
        held_back = memory.held_back.get(change.name, ())
        gone = [pin for pin in held_back if pin not in wanted]
        if not gone or change.sign is Sign.REFUSE:
            return
        self.memory.write(memory.with_held_back(change.name, wanted))
        for pin in gone:
            self.unpinned(change.name, pin, why=f"nobody asks for {pin.bad}")

    def unpin(self, name: str, *, why: str) -> list[tuple[Version | None, Pin]]:
        """Have a model follow the profile again, also in what is beside its default.

        Returns:
            What is lifted; with the version that was held back, or None for a pin.
        """
        memory = self.memory.read()
        pin = memory.pins.get(name)
        pins = [] if pin is None else [(None, pin)]
        lifted = [*pins, *((one.bad, one) for one in memory.held_back.get(name, ()))]
        if lifted:
            self.memory.write(memory.with_pin(name, None).with_held_back(name, ()))
        for _, one in lifted:
            self.unpinned(name, one, why=why)
        return lifted

    def unpinned(self, name: str, pin: Pin, *, why: str) -> None:
        """Add to the history that a model follows the profile again."""
        before = None if pin.version is None else str(pin.version)
        self.note("unpinned", name, before, None, why=why)

    def has_default(self, ref: Ref) -> None:
        """Have TorchServe start with *ref* as the default from now on."""
        memory = self.memory.read()
        default = str(ref.version)
        others = [one for one in memory.served.get(ref.name, ()) if one != default]
        self._write(memory, memory.with_served(ref.name, [default, *others]))

    def done(self, change: Change) -> None:
        """Remember what a model serves now, and what was done for it."""
        if change.sign is Sign.REFUSE:
            return
        memory = self.memory.read()
        served = memory.with_served(change.name, _served(change))
        if change.installs:
            # Also for the same versions: what TorchServe starts from may be another.
            self.memory.write(served)
        else:
            self._write(memory, served)
        if change.actions:
            what = "removed" if change.sign is Sign.REMOVE else self.verb
            self._note(what, change, why=change.why or change.reason)

    def failed(
        self,
        change: Change,
        error: ModelServersError,
        *,
        version: str | None,
        in_history: bool,
    ) -> None:
        """Remember that a model could not be changed, because of *version*.

        What fails alike in every round of a watch is in the history once.
        """
        memory, now = self.memory.read(), self.now()
        failure = Failure(
            version=version, why=str(error), hint=error.hint, when=now, since=now
        ).after(memory.failures.get(change.name))
        if in_history and failure.times == 1:
            self._note("failed", change, why=str(error))
        self.memory.write(memory.with_failure(change.name, failure))

    def recovered(self, change: Change) -> None:
        """Forget why a model failed, now that it is as it should be.

        What failed and is held back is still to be told.
        """
        memory = self.memory.read()
        failure = memory.failures.get(change.name)
        if failure is None or change.sign is Sign.REFUSE:
            return
        if not memory.is_held_back(change.name, failure.version):
            self.memory.write(memory.with_failure(change.name, None))

    def note(
        self, what: str, model: str, before: str | None, after: str | None, *, why: str
    ) -> None:
        """Add to the history of this host."""
        self.memory.add(
            Event(
                when=self.now(),
                who=self.who,
                what=what,
                model=model,
                before=before,
                after=after,
                why=why,
            )
        )

    def _note(self, what: str, change: Change, *, why: str) -> None:
        self.note(what, change.name, change.before, change.after, why=why)

    def _write(self, before: Memory, after: Memory) -> None:
        if before != after:
            self.memory.write(after)


def _served(change: Change) -> Iterable[str]:
    return () if change.after is None else (change.after, *change.also)
