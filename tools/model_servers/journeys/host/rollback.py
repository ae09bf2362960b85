"""Go back to a version that is still on the host's disk; no store is needed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from model_servers.core.guards import Override
from model_servers.core.host import HostState, Refusal, Wanted
from model_servers.core.memory import Pin, version_before
from model_servers.core.names import Ref, Version
from model_servers.core.profile import WantedModel
from model_servers.errors import RefusedError, RequestError
from model_servers.journeys.host.acting import Watcher
from model_servers.journeys.host.planning import Planned, Planning
from model_servers.journeys.host.resolve import Resolved
from model_servers.journeys.host.sync import Sync


@dataclass(frozen=True, kw_only=True)
class Prepared(Planned):
    """A rollback that was not begun."""

    target: Ref
    bad: Version | None
    """The version that answers now; None if it is not one of ours."""


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """What takes one model back."""

    planning: Planning

    @property
    def sync(self) -> Sync:
        """The sync journey of the host."""
        return self.planning.sync

    def prepare(
        self,
        name: str,
        to: Version | None,
        *,
        asked: WantedModel | None,
        why: str,
        allow: Collection[Override] = frozenset(),
    ) -> Prepared:
        """Say what going back would do; nothing is touched.

        Args:
            name: of the model.
            to: the version to go back to; None for the one that answered before.
            asked: what the profile says of the model, if anything.
            why: for those who come later.
            allow: what somebody has agreed to.

        Raises:
            RequestError: the host does not serve the model, or serves that already.
            RefusedError: the version is not on the disk, or nobody knows which.
            OutsideError: the server does not answer.
        """
        observed = self.sync.observe()
        served = {name: observed.served.get(name, ())}
        now = next((one.version for one in served[name] if one.is_default), None)
        if now is None:
            raise RequestError(
                f"this host serves no {name}", hint="`ms sync status` shows what it has"
            )
        target = Ref(name, to or self._before(name, now, observed))
        if now == str(target.version):
            raise RequestError(
                f"{target} is what answers now",
                hint="name another version with --to",
            )
        wanted = self._wanted(target, observed, asked=asked, why=why)
        admitted, admission = self.planning.admitted(
            {**_as_they_are(observed), name: wanted}, observed, allow=allow
        )
        desired = {name: admitted[name]}
        alone = HostState(served=served, installed=observed.installed)
        return Prepared(
            plan=self._sync().plan_from(alone, desired, allow=allow),
            resolved=Resolved(desired=desired),
            admission=replace(
                admission,
                decisions={
                    key: one for key, one in admission.decisions.items() if key == name
                },
            ),
            target=target,
            bad=_version(now),
        )

    def run(self, prepared: Prepared, watcher: Watcher, *, why: str) -> Pin:
        """Let an older version answer, and pin it.

        The pin is written first: interrupted after that, the next sync finishes
        what was begun.

        Raises:
            RefusedError: it has no room, or somebody must agree to silence.
            OutsideError: it cannot be loaded, or the server does not answer.
        """
        for change in prepared.plan.refused():
            raise RefusedError(
                f"{change.name} does not go back to {prepared.target.version}: "
                f"{change.reason}",
                hint=change.hint,
            )
        pin = self.sync.diary.pin(prepared.target, bad=prepared.bad, why=why)
        self._sync().apply(prepared.plan, prepared.resolved, watcher)
        return pin

    def _sync(self) -> Sync:
        return replace(
            self.sync,
            # What has proved itself before is not watched again.
            policy=replace(self.sync.policy, soak_s=0.0),
            diary=replace(self.sync.diary, verb="rolled back"),
        )

    def _wanted(
        self, target: Ref, observed: HostState, *, asked: WantedModel | None, why: str
    ) -> Wanted:
        """Want *target*, and what is served beside the default as before."""
        release = self.sync.model_store.release(target)
        if release is None:
            raise RefusedError(
                f"{target} is not on this host; it has {_on_disk(target, observed)}",
                hint=f"`ms sync pin {target.name} {target.version}` and "
                "`ms sync apply` fetch it",
            )
        memory = self.sync.diary.memory.read()
        served = memory.served.get(target.name, ())
        beside = [
            found
            for version in served[1:]
            if version != str(target.version)
            and (found := self.sync.model_store.release(_ref(target.name, version)))
        ]
        asked = asked or WantedModel(default=str(target.version))
        return Wanted(
            default=release,
            also=tuple(beside),
            overlay=asked.overrides.overlay(),
            layout=self.sync.model_store.layout,
            update=asked.update or self.sync.policy.update,
            held_back=memory.held_back.get(target.name, ()),
            why=why or "rollback",
        )

    def _before(self, name: str, now: str, observed: HostState) -> Version:
        """Say what answered before, or else which older version is on the disk."""
        memory = self.sync.diary.memory
        pin, current = memory.read().pins.get(name), _version(now)
        here = {
            ref.version
            for ref, one in observed.installed.items()
            if ref.name == name and one.answered
        }
        here -= {current, pin.bad if pin else None}
        if current is not None:
            before = version_before(memory.events(), Ref(name, current))
            known = _version(before or "")
            if known in here:
                return known
        older = [at for at in here if current is None or at < current]
        if not older:
            raise RefusedError(
                f"no version of {name} that answered here before is on the disk",
                hint="name one with --to; `ms sync history` shows what was served",
            )
        return max(older)


def _as_they_are(observed: HostState) -> dict[str, Refusal]:
    """Leave every model of the host alone."""
    return {
        name: Refusal(reason="it is not rolled back") for name in observed.managed()
    }


def _version(text: str) -> Version | None:
    with suppress(ValueError):
        return Version.parse(text)
    return None


def _ref(name: str, version: str) -> Ref:
    return Ref(name, Version.parse(version))


def _on_disk(target: Ref, observed: HostState) -> str:
    return ", ".join(_versions(target.name, observed)) or "no version of it"


def _versions(name: str, observed: HostState) -> Iterator[str]:
    return (str(ref.version) for ref in sorted(observed.installed) if ref.name == name)
