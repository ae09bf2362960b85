"""Channels: movable pointers from models to released versions.

People write them in ``channels.yaml`` of each model; hosts read one document per
channel out of the store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model_servers.core.canonical import canonical_json
from model_servers.core.names import (
    LATEST,
    NAME_MAX_LENGTH,
    NAME_PATTERN,
    Ref,
    Version,
)

if TYPE_CHECKING:
    from typing_extensions import Self

CHANNELS_FILE = "channels.yaml"
"""Beside ``model.yaml``; it never goes into an archive."""

CHANNELS_PREFIX = "channels/"
_END = ".json"

Wanted = Mapping[str, Mapping[str, Version]]
"""By model: the version that each of its channels points to."""


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """One channel: the version of each model that it points to."""

    channel: str
    generation: int = 0
    """Grows with every change; 0 for a channel that the store does not have."""

    models: Mapping[str, Version] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Write the document; ``from_mapping`` of it gives this pointer again."""
        return canonical_json(
            {
                "schema": 1,
                "channel": self.channel,
                "generation": self.generation,
                "models": {name: str(at) for name, at in self.models.items()},
            }
        )

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a document that ``channel-pointer.schema.json`` has accepted."""
        return cls(
            channel=data["channel"],
            generation=data["generation"],
            models=_versions(data["models"]),
        )


@dataclass(frozen=True, kw_only=True)
class Move:
    """What becomes of one channel."""

    before: Pointer
    after: Pointer

    @property
    def changed(self) -> dict[str, tuple[Version | None, Version | None]]:
        """What each model that moves moves from, and to; None is nowhere."""
        old, new = self.before.models, self.after.models
        return {
            name: (old.get(name), new.get(name))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        }

    def targets(self) -> Iterator[Ref]:
        """Yield the versions that the channel did not point to before."""
        for name, (_, version) in self.changed.items():
            if version is not None:
                yield Ref(name, version)


def channel_key(channel: str) -> str:
    """Say where a channel's document is in the store."""
    return f"{CHANNELS_PREFIX}{channel}{_END}"


def channel_names(keys: Iterable[str]) -> list[str]:
    """Pick the channels among the store's keys, sorted.

    Keys that are no channel, whoever wrote them, are passed over.
    """
    names = (
        key[len(CHANNELS_PREFIX) : -len(_END)]
        for key in keys
        if key.startswith(CHANNELS_PREFIX) and key.endswith(_END)
    )
    return sorted(filter(is_channel, names))


def is_channel(text: str) -> bool:
    """Say whether *text* can name a channel that people move.

    >>> is_channel("stable"), is_channel("latest"), is_channel("a/b")
    (True, False, False)
    """
    is_short = len(text) <= NAME_MAX_LENGTH
    return bool(re.fullmatch(NAME_PATTERN, text)) and is_short and text != LATEST


def channels_of(data: Mapping[str, Any]) -> dict[str, Version]:
    """Read a document that ``channels.schema.json`` has accepted."""
    return _versions(data["channels"])


def move(pointer: Pointer, wanted: Wanted, *, prune: bool = False) -> Move:
    """Say what becomes of a channel.

    Args:
        pointer: the channel as the store has it.
        wanted: every model of the registry, also those without channels.
        prune: take out models that the registry does not have; without it they
            stay, because a registry may be short by mistake.
    """
    kept = {} if prune else _without(pointer.models, wanted)
    pointed = {
        name: channels[pointer.channel]
        for name, channels in wanted.items()
        if pointer.channel in channels
    }
    models = {**kept, **pointed}
    if models == pointer.models:
        return Move(before=pointer, after=pointer)
    after = Pointer(
        channel=pointer.channel, generation=pointer.generation + 1, models=models
    )
    return Move(before=pointer, after=after)


def _without(models: Mapping[str, Version], wanted: Wanted) -> dict[str, Version]:
    return {name: at for name, at in models.items() if name not in wanted}


def _versions(data: Mapping[str, str]) -> dict[str, Version]:
    return {name: Version.parse(version) for name, version in data.items()}
