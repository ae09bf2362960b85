"""What a host should serve: the profile's words as releases."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from model_servers.core.channels import Pointer, is_channel
from model_servers.core.host import Desired, Refusal, Wanted, wanted_releases
from model_servers.core.index import Index
from model_servers.core.lifecycle import Notice
from model_servers.core.memory import Memory, Pin
from model_servers.core.names import LATEST, Ref, Version
from model_servers.core.profile import Update, WantedModel
from model_servers.core.release import Release
from model_servers.core.spelling import nearest
from model_servers.errors import ModelServersError, RefusedError
from model_servers.journeys import parallel
from model_servers.journeys.channels import Channels
from model_servers.journeys.host.refusing import unless_given
from model_servers.ports import ModelStore, Releases, Store


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What the profile means now."""

    desired: Desired
    notices: Mapping[Ref, Notice] = field(default_factory=dict)
    """What is said of the wanted releases."""

    generations: Mapping[str, int] = field(default_factory=dict)
    """Of the channels that were followed; to be remembered once they are applied."""

    lifted: tuple[str, ...] = ()
    """Models whose pin has done its work: a newer version is wanted."""


@dataclass(frozen=True, kw_only=True)
class Resolve:
    """Finds releases, asking the store as little as possible.

    One request for the index, one for each channel; a release that is on this host
    with the digest that the index names is not read again.
    """

    store: Store
    releases: Releases
    channels: Channels
    model_store: ModelStore
    update: Update = Update.AUTO

    def run(
        self,
        models: Mapping[str, WantedModel],
        memory: Memory,
        *,
        allow_older: bool = False,
    ) -> Resolved:
        """Find the releases that each entry of the profile means.

        Args:
            models: of the profile.
            memory: of this host.
            allow_older: follow channels also back to an older generation.

        Raises:
            OutsideError: the store does not answer; nothing is known then.
        """
        index = self.channels.catalog.read() or Index()
        names = {channel for model in models.values() for channel in model.channels}
        channels = sorted(names)
        pointed = parallel.each(self._pointer, channels)
        pointers = dict(zip(channels, pointed, strict=True))
        seen = {} if allow_older else memory.generations.get(self.store.address, {})
        lookup = _Lookup(self, index, pointers, seen, memory)
        asked = sorted(models)
        wanted = parallel.each(lambda name: lookup.model(name, models[name]), asked)
        found = dict(zip(asked, wanted, strict=True))
        desired = {name: one for name, (one, _) in found.items()}
        said = {ref: index.notice(ref) for ref in wanted_releases(desired)}
        return Resolved(
            desired=desired,
            notices={ref: notice for ref, notice in said.items() if notice},
            generations={
                name: pointer.generation
                for name, pointer in pointers.items()
                if isinstance(pointer, Pointer)
                and (allow_older or pointer.generation >= seen.get(name, 0))
            },
            lifted=tuple(name for name, (_, is_lifted) in found.items() if is_lifted),
        )

    def _pointer(self, channel: str) -> Pointer | RefusedError:
        """Give a channel, or why the models that follow it are refused."""
        try:
            with unless_given(self.store, f"the channel {channel}"):
                return self.channels.read(channel)
        except RefusedError as error:
            return error


@dataclass(frozen=True)
class _Lookup:
    journey: Resolve
    index: Index
    pointers: Mapping[str, Pointer | RefusedError]
    seen: Mapping[str, int]
    memory: Memory

    def model(self, name: str, asked: WantedModel) -> tuple[Wanted | Refusal, bool]:
        """Find what is wanted of a model, and say whether its pin is lifted."""
        pin = self.memory.pins.get(name)
        try:
            if pin is None or self._lifts(name, asked, pin):
                return self._wanted(name, asked, asked.default, ""), pin is not None
            if pin.version is None:
                hint = f"release another version; `ms sync unpin {name}` lifts that"
                return Refusal(reason=str(pin), hint=hint), False
            return self._pinned(name, asked, pin), False
        except RefusedError as error:
            return Refusal(reason=str(error), hint=error.hint), False

    def _pinned(self, name: str, asked: WantedModel, pin: Pin) -> Wanted:
        try:
            return self._wanted(name, asked, str(pin.version), str(pin))
        except RefusedError as error:
            hint = f"{error.hint}; or `ms sync unpin {name}`"
            raise RefusedError(f"{name} is {pin}; {error}", hint=hint) from error

    def _lifts(self, name: str, asked: WantedModel, pin: Pin) -> bool:
        """Say whether what the profile wants is newer than what was rolled back."""
        if pin.bad is None:
            return False
        try:
            return pin.is_lifted_by(self._at(name, asked.default))
        except RefusedError:
            return False  # what is pinned needs no channel

    def _wanted(self, name: str, asked: WantedModel, default: str, why: str) -> Wanted:
        first = self._release(name, default)
        also = [self._release(name, one) for one in asked.also]
        beside = {one.ref: one for one in also if one.ref != first.ref}
        held_back = tuple(
            pin
            for pin in self.memory.held_back.get(name, ())
            if pin.bad and beside.pop(Ref(name, pin.bad), None)
        )
        followed = default if is_channel(default) else ""
        return Wanted(
            default=first,
            also=tuple(beside[ref] for ref in sorted(beside)),
            overlay=asked.overrides.overlay(),
            layout=self.journey.model_store.layout,
            update=asked.update or self.journey.update,
            held_back=held_back,
            why=why or followed,
        )

    def _release(self, name: str, wanted: str) -> Release:
        ref = Ref(name, self._at(name, wanted))
        here = self._here(ref)
        entry = self.index.entries.get(ref)
        if here and entry and here.archive.sha256 == entry.archive_sha256:
            return here
        with unless_given(self.journey.store, str(ref)):
            release = self.journey.releases.find(ref)
        if release is None:
            raise self._not_released(name, wanted)
        if release.ref != ref:
            raise RefusedError(
                f"the release.json of {ref} says that it is {release.ref}",
                hint="`ms fsck` checks what the store holds",
            )
        return release

    def _here(self, ref: Ref) -> Release | None:
        """Give a release of this host; None too if nobody can read its record."""
        with suppress(ModelServersError):
            return self.journey.model_store.release(ref)
        return None  # the store has another copy, and `ms sync verify` mends this one

    def _at(self, name: str, wanted: str) -> Version:
        """Give the version to which a number, a channel or ``latest`` comes."""
        if wanted == LATEST:
            return self._latest(name)
        if not is_channel(wanted):
            return Version.parse(wanted)
        pointer = self.pointers[wanted]
        if isinstance(pointer, RefusedError):
            raise pointer
        return self._pointed(name, pointer)

    def _pointed(self, name: str, pointer: Pointer) -> Version:
        channel, generation = pointer.channel, pointer.generation
        seen = self.seen.get(channel, 0)
        if generation < seen:
            raise RefusedError(
                f"the channel {channel} is at generation {generation} in "
                f"{self.journey.store.address}, this host has seen {seen}",
                hint="find out whether the store was set back or is another one; "
                "add --allow-older-channels if that is meant",
            )
        if not generation:
            raise RefusedError(
                f"there is no channel {channel} in {self.journey.store.address}",
                hint="`ms channels publish` makes it, or correct the host profile",
            )
        if name not in pointer.models:
            raise RefusedError(
                f"the channel {channel} does not point to any version of {name}",
                hint=self._meant(name)
                or f"`ms promote {name} VERSION {channel}`, or correct the profile",
            )
        return pointer.models[name]

    def _latest(self, name: str) -> Version:
        """Give the highest version that may be used."""
        versions = list(self.index.of_model(name)) or self._versions(name)
        if not versions:
            raise self._not_released(name, LATEST)
        for version in reversed(versions):
            notice = self.index.notice(Ref(name, version))
            if notice is None or not notice.is_yanked:
                return version
        said = self.index.notice(Ref(name, versions[0]))
        raise RefusedError(
            f"every released version of {name} is yanked; {versions[0]} was {said}",
            hint=f"release another, or name a version of {name} in the host profile",
        )

    def _versions(self, name: str) -> list[Version]:
        with unless_given(self.journey.store, f"the list of versions of {name}"):
            return self.journey.releases.versions(name)

    def _not_released(self, name: str, wanted: str) -> RefusedError:
        versions = self._versions(name)
        known = ", ".join(str(version) for version in versions) or "no version"
        return RefusedError(
            f"{name}@{wanted} is not released in {self.journey.store.address}; "
            f"it has {known}",
            hint=self._meant(name)
            or f"publish it with `ms publish {name}`, or correct the host profile",
        )

    def _meant(self, name: str) -> str:
        """Name the released model that was meant by one that nobody has released."""
        known = {ref.name for ref in self.index.entries}
        near = None if name in known else nearest(name, sorted(known))
        return f"did you mean {near}? correct the host profile" if near else ""
