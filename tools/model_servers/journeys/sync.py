"""Bring one host from what it serves to what it should: observe, plan, apply."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from model_servers.core.golden import GoldenCase
from model_servers.core.host import Desired, HostState
from model_servers.core.names import LATEST, Ref, Version
from model_servers.core.plan import (
    Action,
    Change,
    Drain,
    Install,
    Plan,
    Probe,
    Register,
    Revive,
    SetDefault,
    Unregister,
    plan,
)
from model_servers.core.release import Release
from model_servers.errors import ModelServersError, OutsideError, RefusedError
from model_servers.journeys.loading import Loading
from model_servers.ports import ModelServer, ModelStore, OnBytes, Releases, Store

_POLL_S = 0.5
"""Describing a version asks nvidia-smi once per worker, so not too often."""

_DRAIN_LIMIT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one version answered one golden case."""

    ref: Ref
    case: str
    answer: str
    differences: tuple[str, ...]
    latency_ms: float


class Watcher(Protocol):
    """Is told what happens, as it happens."""

    def starts(self, action: Action) -> None:
        """An action begins."""

    def fetching(self, release: Release, size_bytes: int) -> OnBytes:
        """Bytes begin to move; gives the callback for them."""

    def done(self, change: Change, action: Action, seconds: float) -> None:
        """An action has succeeded."""

    def answered(self, verdict: Verdict) -> None:
        """A golden case got its answer."""

    def failed(self, change: Change, error: ModelServersError) -> None:
        """A model's change ended early; others go on."""


@dataclass(frozen=True, kw_only=True)
class Sync:
    """The sync journey of one host, with everything it touches passed in."""

    server: ModelServer
    model_store: ModelStore
    store: Store
    releases: Releases
    drain_s: float = 10.0

    def desired(self, models: Mapping[str, str]) -> Desired:
        """Find the release that each entry of the host profile means.

        Raises:
            RefusedError: a version, or any version of a model, is not released.
        """
        return {
            name: self._release(name, wanted) for name, wanted in sorted(models.items())
        }

    def observe(self) -> HostState:
        """Look at the server and the disk."""
        return HostState(
            served=self.server.served(), installed=self.model_store.installed()
        )

    def plan(self, desired: Desired, *, allow_empty: bool = False) -> Plan:
        """Say what applying would do; nothing is touched.

        Raises:
            RefusedError: every model this tool serves would go, which a lost host
                profile asks for more often than a person does.
        """
        observed = self.observe()
        managed = observed.managed()
        if managed and not desired and not allow_empty:
            raise RefusedError(
                f"the host profile asks for no model; {len(managed)} would go: "
                + ", ".join(sorted(managed)),
                hint="add --allow-empty if that is meant",
            )
        return plan(desired, observed, missing_bytes=self.model_store.missing_bytes)

    def apply(self, reviewed: Plan, desired: Desired, watcher: Watcher) -> None:
        """Run a plan, one action after the other.

        A model whose change fails keeps the version that answered before, and does
        not stop the others. Interrupted anywhere, a new plan goes on from there.

        Raises:
            OutsideError: a change failed; it says which, the others are done.
        """
        failed: list[tuple[str, ModelServersError]] = []
        for change in reviewed.pending():
            try:
                self._run(change, desired, watcher)
            except ModelServersError as error:
                watcher.failed(change, error)
                failed.append((change.name, error))
        if failed:
            names = ", ".join(name for name, _ in failed)
            raise OutsideError(
                f"{len(failed)} of {len(reviewed.pending())} models failed: {names}",
                hint=failed[0][1].hint,
            )

    def probe(self, ref: Ref, watcher: Watcher) -> None:
        """Have *ref* answer its golden cases, and remember that it did.

        Raises:
            OutsideError: an answer is not the expected one.
        """
        device = self._loading.described(ref).device
        verdicts = [
            self._ask(ref, case, device) for case in self.model_store.golden_cases(ref)
        ]
        for verdict in verdicts:
            watcher.answered(verdict)
        wrong = [verdict for verdict in verdicts if verdict.differences]
        if wrong:
            raise OutsideError(
                f"{ref} answered {len(wrong)} of {len(verdicts)} golden cases wrongly; "
                f"{wrong[0].case}: {wrong[0].differences[0]}",
                hint="correct the model, or the case if the change is meant",
            )
        self.model_store.mark_answered(ref)

    @property
    def _loading(self) -> Loading:
        return Loading(server=self.server, entries=self.model_store)

    def _release(self, name: str, wanted: str) -> Release:
        versions = self.releases.versions(name)
        if wanted == LATEST and versions:
            version = versions[-1]
        elif wanted != LATEST:
            version = Version.parse(wanted)
        else:
            raise self._not_released(name, wanted, versions)
        release = self.releases.find(Ref(name, version))
        if release is None:
            raise self._not_released(name, wanted, versions)
        return release

    def _not_released(
        self, name: str, wanted: str, versions: list[Version]
    ) -> RefusedError:
        known = ", ".join(str(version) for version in versions) or "no version"
        return RefusedError(
            f"{name}@{wanted} is not released in {self.store.address}; it has {known}",
            hint=f"publish it with `ms publish {name}`, or correct the host profile",
        )

    def _run(self, change: Change, desired: Desired, watcher: Watcher) -> None:
        unproven: Ref | None = None
        try:
            for action in change.actions:
                watcher.starts(action)
                started = time.monotonic()
                if isinstance(action, Register) or (
                    # Registered by a run that was interrupted.
                    isinstance(action, (Revive, Probe))
                    and change.before != change.after
                ):
                    unproven = action.ref
                self._act(action, desired, watcher)
                if isinstance(action, SetDefault):
                    unproven = None
                watcher.done(change, action, time.monotonic() - started)
        except ModelServersError:
            if unproven is not None:
                # It never answered for its model; it must not keep crashing. What
                # failed first is told, also if this fails too.
                with suppress(ModelServersError):
                    self.server.unregister(unproven.name, str(unproven.version))
            raise

    def _act(self, action: Action, desired: Desired, watcher: Watcher) -> None:
        match action:
            case Install(ref=ref, fetch_bytes=fetch_bytes):
                self._install(desired[ref.name], fetch_bytes, watcher)
            case Register(ref=ref):
                self._loading.load(ref)
            case Revive(ref=ref):
                # Not those it has: an interrupted revival leaves none.
                workers = self.model_store.serving(ref).min_workers or 1
                self.model_store.clear_load_error(ref)
                self.server.scale(ref.name, str(ref.version), 0)
                self.server.scale(ref.name, str(ref.version), workers)
                self._loading.await_ready(ref)
            case Probe(ref=ref):
                self.probe(ref, watcher)
            case SetDefault(ref=ref):
                self.server.set_default(ref)
            case Drain(name=name, version=version):
                self._drain(name, version)
            case Unregister(name=name, version=version):
                self.server.unregister(name, version)

    def _install(self, release: Release, fetch_bytes: int, watcher: Watcher) -> None:
        self.model_store.install(
            release,
            read_range=lambda offset, length: self.store.read_range(
                release.key, offset, length
            ),
            on_bytes=watcher.fetching(release, fetch_bytes),
        )

    def _ask(self, ref: Ref, case: GoldenCase, device: str) -> Verdict:
        started = time.monotonic()
        status, body = self.server.predict(ref, case.request)
        latency_ms = (time.monotonic() - started) * 1000
        answer = body.decode(errors="replace")
        if status == 200:
            differences = tuple(case.differences(body, device=device))
        else:
            differences = (f"the status is {status}: {answer[:300]}",)
        return Verdict(
            ref=ref,
            case=case.name,
            answer=answer,
            differences=differences,
            latency_ms=latency_ms,
        )

    def _drain(self, name: str, version: str) -> None:
        """Wait until no request waits for a version, and then for those in work.

        TorchServe counts the waiting requests, not those in a worker; ``drain_s``
        must outlast the longest of these.
        """
        deadline = time.monotonic() + _DRAIN_LIMIT_S
        while time.monotonic() < deadline:
            served = [
                one for one in self.server.describe(name) if one.version == version
            ]
            if not any(one.pending_requests for one in served):
                time.sleep(self.drain_s if served else 0)
                return
            time.sleep(_POLL_S)
        raise OutsideError(
            f"{name}@{version} still has requests waiting after {_DRAIN_LIMIT_S:.0f} s",
            hint="run `ms sync apply` again when there is less traffic",
        )


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
