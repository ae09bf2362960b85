"""Lets the channels of a store point to what the checkout says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from model_servers.core.channels import (
    CHANNELS_FILE,
    CHANNELS_PREFIX,
    Move,
    Pointer,
    Wanted,
    channel_key,
    channel_names,
    channels_of,
    move,
)
from model_servers.core.contribution import MODEL_FILE, Contribution
from model_servers.core.findings import Finding
from model_servers.core.index import Index
from model_servers.core.lifecycle import Notice, Notices
from model_servers.core.names import Ref, Version
from model_servers.core.release import release_key
from model_servers.errors import OutsideError, RefusedError
from model_servers.journeys import parallel
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.probe import refuse_unless_compared
from model_servers.ports import Store

_RACES = 64


class ReadPointer(Protocol):
    """Reads the document of a channel through its schema."""

    def __call__(self, body: bytes, *, shown_as: str) -> Pointer:
        """Give the pointer; OutsideError if the document is damaged."""


@dataclass(frozen=True, kw_only=True)
class Channels:
    """The channels of one store."""

    store: Store
    catalog: Catalog
    read_pointer: ReadPointer
    said: Notices = field(default_factory=dict)
    """What the models say of their versions, newer than what the index says."""

    def plan(self, wanted: Wanted, *, prune: bool = False) -> list[Move]:
        """Say which channels move; nothing is written.

        Raises:
            RefusedError: a channel would move to what is not released, or is
                yanked; all of them are named.
        """
        keys = self.store.keys(CHANNELS_PREFIX)
        names = {*channel_names(keys), *_named(wanted)}
        moves = [move(self._find(name)[0], wanted, prune=prune) for name in names]
        moves = sorted(
            (one for one in moves if one.changed), key=lambda one: one.before.channel
        )
        self.refuse_bad({ref for one in moves for ref in one.targets()})
        return moves

    def publish(self, wanted: Wanted, *, prune: bool = False) -> list[Move]:
        """Move the channels, each by compare-and-swap, and say what was moved.

        A channel moves as a whole or not at all; running it again finishes what
        was interrupted.

        Raises:
            RefusedError: as ``plan`` says, or the store replaces without comparing;
                nothing was moved.
        """
        planned = self.plan(wanted, prune=prune)
        if planned:
            refuse_unless_compared(self.catalog)
        moved = [
            self._moved(one.before.channel, wanted, prune=prune) for one in planned
        ]
        return [one for one in moved if one.changed]

    def read(self, channel: str) -> Pointer:
        """Give a channel; it points to nothing if the store does not have it."""
        return self._find(channel)[0]

    def _moved(self, channel: str, wanted: Wanted, *, prune: bool) -> Move:
        """Move one channel from wherever it is now."""
        for _ in range(_RACES):
            pointer, token = self._find(channel)
            change = move(pointer, wanted, prune=prune)
            if not change.changed:
                return change
            body = change.after.to_bytes()
            if self.store.swap(channel_key(channel), body, token):
                return change
        raise OutsideError(
            f"the channel {channel} was moved by others {_RACES} times in a row",
            hint="run the command again when nobody else moves it",
        )

    def _find(self, channel: str) -> tuple[Pointer, str | None]:
        """Give a channel, and the token that a swap of it wants."""
        found = self.store.read_movable(channel_key(channel))
        if found is None:
            return Pointer(channel=channel), None
        shown_as = f"{self.store.address}/{channel_key(channel)}"
        pointer = self.read_pointer(found.body, shown_as=shown_as)
        if pointer.channel != channel:
            raise OutsideError(
                f"{shown_as} says that it is the channel {pointer.channel}",
                hint="restore the file from a copy of the store",
            )
        return pointer, found.token

    def refuse_bad(self, targets: Collection[Ref]) -> None:
        """Refuse versions to which no channel may move.

        Raises:
            RefusedError: some are not released, or are yanked; all of them are named.
        """
        faults = list(self._faults(sorted(targets))) if targets else []
        if faults:
            raise RefusedError(
                f"no channel was moved: {'; '.join(faults)}",
                hint="ms publish releases what is on main; ms promote moves a channel "
                "to another version",
            )

    def _faults(self, targets: Sequence[Ref]) -> Iterator[str]:
        index = self.catalog.read() or Index()
        found = parallel.each(self.store.stat, map(release_key, targets))
        for ref, stored in zip(targets, found, strict=True):
            notice = self._notice(ref, index)
            if stored is None:
                yield f"{ref} is not released"
            elif notice is not None and notice.is_yanked:
                yield f"{ref} is {notice}"

    def _notice(self, ref: Ref, index: Index) -> Notice | None:
        if ref.name in self.said:
            return self.said[ref.name].get(ref.version)
        return index.notice(ref)


def wanted_channels(models: Iterable[Contribution]) -> tuple[Wanted, list[Finding]]:
    """Give what the models say of their channels, and what is wrong with that.

    Nothing else that may be wrong with a model stands in the way of a channel that
    has to go back.
    """
    wanted: dict[str, dict[str, Version]] = {}
    findings: list[Finding] = []
    for each in models:
        path = f"{each.root}/{CHANNELS_FILE}"
        findings += [one for one in each.findings if one.path == path and one.is_error]
        if MODEL_FILE in each.files:
            document = each.channels
            wanted[each.name] = {} if document is None else channels_of(document.data)
    return wanted, findings


def _named(wanted: Wanted) -> Iterator[str]:
    return (channel for channels in wanted.values() for channel in channels)
