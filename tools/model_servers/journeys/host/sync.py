"""Bring one host from what it serves to what it should: observe, plan, apply."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile

from model_servers.core.changes import (
    Change,
    Install,
    Plan,
    Probe,
    Register,
    Revive,
    SetDefault,
    Unregister,
)
from model_servers.core.guards import Override, objections
from model_servers.core.host import Desired, HostState, Wanted, wanted_releases
from model_servers.core.names import Ref, Version
from model_servers.core.plan import plan
from model_servers.core.profile import Policy, WantedModel
from model_servers.core.release import Release
from model_servers.errors import ModelServersError, OutsideError, RefusedError
from model_servers.journeys.host.acting import (
    Acting,
    SoakError,
    Verdict,
    Watcher,
    WrongAnswersError,
)
from model_servers.journeys.host.ahead import Ahead
from model_servers.journeys.host.diary import Diary
from model_servers.journeys.host.resolve import Resolve, Resolved
from model_servers.journeys.released_bytes import Archives
from model_servers.ports import (
    ModelServer,
    ModelStore,
    Releases,
    RequestCounts,
    Store,
)

__all__ = ["Sync", "Verdict", "Watcher", "reviewed"]

_NOTHING: Collection[Override] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Sync:
    """The sync journey of one host, with everything it touches passed in."""

    server: ModelServer
    model_store: ModelStore
    store: Store
    releases: Releases
    resolve: Resolve
    diary: Diary
    counts: RequestCounts | None = None
    policy: Policy = field(default_factory=Policy)

    @cached_property
    def archives(self) -> Archives:
        """What plans read of released archives."""
        return Archives(self.store)

    @property
    def acting(self) -> Acting:
        """What does the actions of a plan."""
        return Acting(
            server=self.server,
            model_store=self.model_store,
            store=self.store,
            drain_s=self.policy.drain_s,
            counts=self.counts,
        )

    def resolved(
        self,
        models: Mapping[str, WantedModel],
        *,
        allow: Collection[Override] = _NOTHING,
    ) -> Resolved:
        """Find the releases that each entry of the host profile means.

        What cannot be found is a refusal in it, and stops no other model.

        Raises:
            OutsideError: the store does not answer.
        """
        allow_older = Override.OLDER_CHANNELS in allow
        memory = self.diary.memory.read()
        return self.resolve.run(models, memory, allow_older=allow_older)

    def observe(self) -> HostState:
        """Look at the server and the disk."""
        return HostState(
            served=self.server.served(), installed=self.model_store.installed()
        )

    def plan(
        self,
        desired: Desired,
        *,
        observed: HostState | None = None,
        allow: Collection[Override] = _NOTHING,
    ) -> Plan:
        """Say what applying would do; nothing is touched.

        The host is looked at unless that was done and *observed* is given.

        Raises:
            RefusedError: so much would go or change that a mistake is likelier than
                a wish, and nobody has said that it is meant.
        """
        observed = observed or self.observe()
        found = self.plan_from(observed, desired, allow=allow)
        for objection in objections(found, observed, self.policy):
            if objection.override not in allow:
                raise RefusedError(objection.reason, hint=objection.hint)
        return found

    def plan_from(
        self,
        observed: HostState,
        desired: Desired,
        *,
        allow: Collection[Override] = _NOTHING,
    ) -> Plan:
        """Say what would happen to a host in this state, without any guard."""
        return plan(
            desired,
            observed,
            missing_bytes=self.model_store.missing_bytes,
            needs_pip=self._needs_pip,
            soak_s=self.policy.soak_s,
            allow_downtime=self.allows_downtime(allow),
        )

    def _needs_pip(self, release: Release) -> bool:
        read_range = self.archives.reader(release)
        try:
            return self.model_store.needs_pip(release, read_range=read_range)
        except OutsideError:
            return False  # an archive that cannot be read fails alone, when it comes

    def allows_downtime(self, allow: Collection[Override]) -> bool:
        """Say whether models may be silent for a while: now, or whenever they must."""
        return self.policy.allow_downtime or Override.DOWNTIME in allow

    def apply(
        self,
        reviewed: Plan,
        resolved: Resolved,
        watcher: Watcher,
        *,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Run a plan, one action after the other; bytes come ahead of their turn.

        A model whose change fails keeps the version that answered before, and does
        not stop the others. Interrupted anywhere, a new plan goes on from there.

        Args:
            reviewed: what to do.
            resolved: what it was planned for.
            watcher: is told what happens, of fetches from any thread.
            goes_on: asked before every change; the others are left if it says no.

        Raises:
            OutsideError: a change failed; it says which, the others are done.
        """
        self.diary.applies(resolved, store=self.store.address)
        ahead = Ahead(
            model_store=self.model_store,
            store=self.store,
            watcher=watcher,
            releases=wanted_releases(resolved.desired),
        )
        installs = [one for change in reviewed.changes for one in change.installs]
        with ahead.of(installs):
            failed = [
                change.name
                for change in takewhile(lambda _: goes_on(), reviewed.changes)
                if not self._is_done(change, ahead, resolved, watcher)
            ]
        if failed:
            raise OutsideError(
                f"{len(failed)} of {len(reviewed.pending())} models failed: "
                f"{', '.join(failed)}",
                hint="`ms sync status` shows what answers",
            )

    def _is_done(
        self, change: Change, ahead: Ahead, resolved: Resolved, watcher: Watcher
    ) -> bool:
        """Do one change and remember it; False, and told, if it failed."""
        try:
            self._run(change, ahead, watcher)
        except ModelServersError as error:
            watcher.failed(change, error)
            # A disk that is full forgets; the other models go on.
            with suppress(ModelServersError):
                self.diary.failed(
                    change,
                    error,
                    version=str(error.ref.version)
                    if isinstance(error, WrongAnswersError)
                    else change.after,
                    in_history=not isinstance(error, SoakError),  # it is already
                )
            return False
        self.diary.done(change)
        if change.name in resolved.lifted:
            self.diary.lifts(change)
        wanted = resolved.desired.get(change.name)
        if isinstance(wanted, Wanted):
            self.diary.still_holds_back(change, wanted.held_back)
        self.diary.recovered(change)
        return True

    def _run(self, change: Change, ahead: Ahead, watcher: Watcher) -> None:
        unproven: Ref | None = None
        try:
            for action in change.actions:
                watcher.starts(action)
                started = time.monotonic()
                if isinstance(action, Register) or (
                    # Registered by a run that was interrupted.
                    isinstance(action, (Revive, Probe))
                    and self._is_new(change, action.ref)
                ):
                    unproven = action.ref
                if isinstance(action, Install):
                    ahead.fetch(action)
                self.acting.act(action, ahead.releases, watcher)
                if isinstance(action, SetDefault):
                    self.diary.has_default(action.ref)
                if isinstance(action, (Probe, SetDefault)):
                    unproven = None
                watcher.done(change, action, time.monotonic() - started)
        except SoakError as error:
            raise self._gone_back(change, error) from error
        except ModelServersError as error:
            if unproven is not None:
                # It never answered for its model; it must not keep crashing. What
                # failed first is told, also if this fails too.
                with suppress(ModelServersError):
                    self.server.unregister(unproven.name, str(unproven.version))
            self._bring_back(change)
            if isinstance(error, WrongAnswersError) and unproven is not None:
                self._hold_back(change, unproven, why=str(error))
            raise

    def _bring_back(self, change: Change) -> None:
        """Serve again what had to go before its successor came."""
        if not change.downtime or change.before in (None, change.after):
            return
        with suppress(ModelServersError, ValueError):
            old = Ref(change.name, Version.parse(str(change.before)))
            if not self.server.describe(change.name):
                self.model_store.restore(old)
                self.acting.loading.load(old)

    def _hold_back(self, change: Change, bad: Ref, *, why: str) -> None:
        """Have what answers wrongly not be tried in every round of a watch.

        The default is not held back for a version beside it.
        """
        keeps: Version | None = None
        with suppress(ValueError):
            keeps = Version.parse(str(change.before))
        # A disk that is full forgets; it is tried again then.
        with suppress(ModelServersError):
            if not self._is_new(change, bad):
                return
            if str(bad.version) == change.after:
                self.diary.hold_back(bad, keeps=keeps, why=why)
            else:
                self.diary.hold_back_beside(bad, why=why)

    def _is_new(self, change: Change, ref: Ref) -> bool:
        """Say whether a version did not serve for its model before this change."""
        version = str(ref.version)
        if version == change.after:
            return change.before != change.after
        if Register(ref) in change.actions:
            return Unregister(ref.name, version) not in change.actions
        return version not in self.diary.memory.read().served.get(ref.name, ())

    def _gone_back(self, change: Change, error: SoakError) -> SoakError:
        """Let the version before answer again, and keep it; give what to tell.

        Raises:
            OutsideError: the server does not do it.
        """
        new = Ref(change.name, Version.parse(str(change.after)))
        old = self._answers_beside(change)
        if old is None:
            with suppress(ModelServersError):  # a disk that is full forgets
                self.diary.note(
                    "failed", new.name, change.before, change.after, why=str(error)
                )
            return error
        self.diary.hold_back(new, keeps=old.version, why=str(error))
        self.server.set_default(old)
        self.diary.has_default(old)
        self.diary.note(
            "rolled back", new.name, str(new.version), str(old.version), why=str(error)
        )
        # What is left of it goes with the next sync, if it does not go now.
        with suppress(ModelServersError):
            self.acting.drain(new.name, str(new.version))
            self.server.unregister(new.name, str(new.version))
        return SoakError(
            f"{error}; {old.version} answers again, and is pinned",
            hint=f"release a better version of {new.name}; another one lifts the pin",
        )

    def _answers_beside(self, change: Change) -> Ref | None:
        """Find a version that can take back what *change* has taken from it."""
        ready: list[Ref] = []
        for one in self.server.describe(change.name):
            if one.is_ready and one.version not in (change.after, *change.also):
                with suppress(ValueError):
                    ready.append(Ref(change.name, Version.parse(one.version)))
        was = [ref for ref in ready if str(ref.version) == change.before]
        return next(reversed(was or ready), None)


def reviewed(current: Plan, digest: str | None) -> Plan:
    """Give *current* if it is the plan that was reviewed; None means any.

    Callable before :meth:`Sync.apply`.

    Raises:
        RefusedError: the host has changed since the review.
    """
    if digest is not None and current.digest != digest:
        raise RefusedError(
            f"the plan is {current.digest} now, {digest} was reviewed",
            hint="run `ms sync plan` again and review the new plan",
        )
    return current
