"""What a host remembers from one sync to the next, without the store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from model_servers.core.canonical import canonical_json
from model_servers.core.names import Ref, Version

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True)
class Pin:
    """A version that a model keeps, whatever the profile and its channels say."""

    version: Version | None
    """None if there is none to keep; the model is then left as it is."""

    who: str
    when: str
    """In UTC, as ISO 8601 has it."""

    why: str
    bad: Version | None = None
    """The version that was rolled back; a newer one lifts the pin."""

    failed: bool = False
    """Nobody has judged the bad one: it failed. Any other version lifts the pin."""

    def __str__(self) -> str:
        what = "held back" if self.version is None else "pinned"
        why = f": {self.why}" if self.why else ""
        return f"{what} by {self.who} on {self.when}{self._until()}{why}"

    def is_lifted_by(self, version: Version) -> bool:
        """Say whether what is wanted now, *version*, ends the pin."""
        if self.bad is None:
            return False
        return version != self.bad if self.failed else version > self.bad

    def after(self, bad: Version, *, keeps: Version | None, why: str) -> Pin:
        """Give the pin of a person once *bad* has failed in spite of it."""
        return replace(
            self,
            version=keeps,
            bad=None if self.bad is None else bad,
            why="; ".join(filter(None, [self.why, why])),
        )

    def _until(self) -> str:
        if self.bad is None:
            return ""
        if self.failed:
            return f", until another version than {self.bad} is wanted"
        return f", until there is a version above {self.bad}"

    def to_mapping(self) -> dict[str, Any]:
        """Give JSON values; ``from_mapping`` of them gives this pin again."""
        versions = {"version": self.version, "bad": self.bad}
        return {**asdict(self), **{key: _text(one) for key, one in versions.items()}}

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a pin."""
        return cls(
            version=_version(data["version"]),
            who=str(data["who"]),
            when=str(data["when"]),
            why=str(data["why"]),
            bad=_version(data["bad"]),
            failed=bool(data["failed"]),
        )


def _text(version: Version | None) -> str | None:
    return None if version is None else str(version)


def _version(text: str | None) -> Version | None:
    return None if text is None else Version.parse(text)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why the last change of a model failed."""

    version: str | None
    """That failed, or should have answered after it; None if none should."""

    why: str
    hint: str
    when: str
    """The last time, in UTC, as ISO 8601 has it."""

    since: str
    """The first time of all that failed alike, one after the other."""

    times: int = 1

    def is_like(self, other: Failure) -> bool:
        """Say whether the same failed for the same reason."""
        return (self.version, self.why) == (other.version, other.why)

    def after(self, before: Failure | None) -> Failure:
        """Count it together with the one before, if that was alike."""
        if before is None or not self.is_like(before):
            return self
        return replace(self, since=before.since, times=before.times + 1)

    def to_mapping(self) -> dict[str, Any]:
        """Give JSON values; ``from_mapping`` of them gives this failure again."""
        return asdict(self)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a failure."""
        version = data["version"]
        return cls(
            version=None if version is None else str(version),
            why=str(data["why"]),
            hint=str(data["hint"]),
            when=str(data["when"]),
            since=str(data["since"]),
            times=int(data["times"]),
        )


@dataclass(frozen=True, kw_only=True)
class Memory:
    """All that outlives a sync beside the files of the models."""

    pins: Mapping[str, Pin] = field(default_factory=dict)
    """By model."""

    held_back: Mapping[str, tuple[Pin, ...]] = field(default_factory=dict)
    """By model: the versions beside its default that failed, and are left out."""

    generations: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By store and channel: the highest that has been applied here."""

    served: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By model: the versions that serve, the default first. They are served again
    when TorchServe starts."""

    failures: Mapping[str, Failure] = field(default_factory=dict)
    """By model: why its last change failed; none once it is as it should be."""

    def is_held_back(self, name: str, version: str | None) -> bool:
        """Say whether a version of a model is not tried again, after it failed."""
        pin = self.pins.get(name)
        held_back = (*([] if pin is None else [pin]), *self.held_back.get(name, ()))
        return version is not None and version in {_text(one.bad) for one in held_back}

    def with_pin(self, name: str, pin: Pin | None) -> Self:
        """Give the memory with another pin of a model, or with none."""
        others = {key: one for key, one in self.pins.items() if key != name}
        return replace(self, pins=others if pin is None else {**others, name: pin})

    def with_held_back(self, name: str, pins: Iterable[Pin]) -> Self:
        """Give the memory with other versions of a model that are left out."""
        listed = tuple(pins)
        others = {key: one for key, one in self.held_back.items() if key != name}
        return replace(self, held_back={**others, name: listed} if listed else others)

    def with_served(self, name: str, versions: Iterable[str]) -> Self:
        """Give the memory with other served versions of a model, or with none."""
        listed = tuple(versions)
        others = {key: one for key, one in self.served.items() if key != name}
        return replace(self, served={**others, name: listed} if listed else others)

    def with_failure(self, name: str, failure: Failure | None) -> Self:
        """Give the memory with another last failure of a model, or with none."""
        others = {key: one for key, one in self.failures.items() if key != name}
        failures = others if failure is None else {**others, name: failure}
        return replace(self, failures=failures)

    def with_generations(self, store: str, seen: Mapping[str, int]) -> Self:
        """Give the memory with what has been seen of a store's channels."""
        if not seen:
            return self
        known = {**self.generations.get(store, {}), **seen}
        return replace(self, generations={**self.generations, store: known})

    def to_bytes(self) -> bytes:
        """Write the document; ``from_bytes`` of it gives this memory again."""
        return canonical_json(
            {
                "schema": 1,
                "pins": {name: pin.to_mapping() for name, pin in self.pins.items()},
                "held_back": {
                    name: [pin.to_mapping() for pin in pins]
                    for name, pins in self.held_back.items()
                },
                "generations": self.generations,
                "served": self.served,
                "failures": {
                    name: one.to_mapping() for name, one in self.failures.items()
                },
            }
        )

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Read a document that this tool has written.

        Raises:
            ValueError: it is damaged, or another schema's.
        """
        data = json.loads(body)
        try:
            if data["schema"] != 1:
                raise ValueError(f"its schema is {data['schema']}, expected 1")
            return cls(
                pins={
                    name: Pin.from_mapping(pin) for name, pin in data["pins"].items()
                },
                held_back={
                    name: tuple(map(Pin.from_mapping, pins))
                    for name, pins in data["held_back"].items()
                },
                generations={
                    store: {channel: int(seen) for channel, seen in channels.items()}
                    for store, channels in data["generations"].items()
                },
                served={
                    name: tuple(map(str, versions))
                    for name, versions in data["served"].items()
                },
                failures={
                    name: Failure.from_mapping(one)
                    for name, one in data["failures"].items()
                },
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no memory of a host: {error!r}") from error


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that was done to one model of a host."""

    when: str
    who: str
    what: str
    """Such as ``changed``, ``failed``, ``rolled back``, ``pinned``."""

    model: str
    before: str | None
    after: str | None
    why: str = ""

    def to_line(self) -> str:
        """Write it as one line of JSON."""
        return canonical_json(asdict(self)).decode()

    @classmethod
    def from_line(cls, line: str) -> Self:
        """Read one line of JSON.

        Raises:
            ValueError: it is no event.
        """
        try:
            event = cls(**json.loads(line))
        except TypeError as error:
            raise ValueError(f"it is no event: {error}") from error
        may_lack = ("before", "after")
        for key, value in asdict(event).items():
            if not isinstance(value, str) and not (key in may_lack and value is None):
                raise ValueError(f"it is no event: {key} is {value!r}")
        return event


_MOVES = frozenset({"changed", "rolled back"})


def version_before(events: Iterable[Event], ref: Ref) -> str | None:
    """Say what answered before *ref* last became the default, if that is known."""
    known = [
        event.before
        for event in events
        if event.what in _MOVES
        and (event.model, event.after) == (ref.name, str(ref.version))
        and event.before not in (None, event.after)
    ]
    return known[-1] if known else None
