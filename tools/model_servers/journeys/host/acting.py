"""Does one action of a plan after the other; each can be done again after a crash."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from model_servers.core.changes import (
    Action,
    Change,
    Drain,
    Install,
    Probe,
    Register,
    Revive,
    Scale,
    SetDefault,
    Soak,
    Unregister,
)
from model_servers.core.golden import GoldenCase
from model_servers.core.names import Ref
from model_servers.core.release import Release
from model_servers.core.soak import Counts, why_worse
from model_servers.errors import ModelServersError, OutsideError
from model_servers.journeys.host import ahead
from model_servers.journeys.loading import Loading
from model_servers.journeys.released_bytes import ReleasedBytes
from model_servers.ports import ModelServer, ModelStore, RequestCounts, Store

_POLL_S = 0.5
"""Describing a version asks nvidia-smi once per worker, so not too often."""

_SOAK_POLL_S = 2.0
_DRAIN_LIMIT_S = 600.0


class SoakError(OutsideError):
    """A new default does worse than the one before."""


class WrongAnswersError(OutsideError):
    """A version does not answer its golden requests as it should."""

    def __init__(self, ref: Ref, reason: str) -> None:
        super().__init__(
            reason, hint=f"correct the model; `ms test {ref.name}` tries it"
        )
        self.ref = ref


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one version answered one golden case."""

    ref: Ref
    case: str
    answer: str
    differences: tuple[str, ...]
    latency_ms: float


class Watcher(ahead.Watcher, Protocol):
    """Is told what happens, as it happens."""

    def starts(self, action: Action) -> None:
        """An action begins."""

    def done(self, change: Change, action: Action, seconds: float) -> None:
        """An action has succeeded."""

    def answered(self, verdict: Verdict) -> None:
        """A golden case got its answer."""

    def failed(self, change: Change, error: ModelServersError) -> None:
        """A model's change ended early; others go on."""


@dataclass(frozen=True, kw_only=True)
class Acting:
    """What actions are done with."""

    server: ModelServer
    model_store: ModelStore
    store: Store
    drain_s: float
    counts: RequestCounts | None

    @property
    def loading(self) -> Loading:
        """What loads the entries of the model store."""
        return Loading(server=self.server, entries=self.model_store)

    def act(
        self, action: Action, releases: Mapping[Ref, Release], watcher: Watcher
    ) -> None:
        """Do one action.

        Raises:
            OutsideError: it cannot be done.
        """
        match action:
            case Install():
                self._install(action, releases[action.ref])
            case Register(ref=ref):
                self.model_store.restore(ref)
                self.loading.load(ref)
            case Revive(ref=ref):
                self._revive(ref)
            case Scale(ref=ref, workers=workers):
                self._scale(ref, workers)
            case Probe(ref=ref):
                self.probe(ref, watcher)
            case SetDefault(ref=ref):
                self.server.set_default(ref)
            case Soak(ref=ref, seconds=seconds):
                self._soak(ref, seconds)
            case Drain(name=name, version=version):
                self.drain(name, version)
            case Unregister(name=name, version=version):
                self.server.unregister(name, version)

    def probe(self, ref: Ref, watcher: Watcher) -> None:
        """Have *ref* answer its golden cases, and remember that it did.

        Raises:
            WrongAnswersError: an answer is not the expected one.
        """
        verdicts = self.verdicts(ref)
        for verdict in verdicts:
            watcher.answered(verdict)
        reason = why_wrong(ref, verdicts)
        if reason:
            raise WrongAnswersError(ref, reason)
        self.model_store.mark_answered(ref)

    def verdicts(self, ref: Ref) -> list[Verdict]:
        """Ask *ref* its golden cases."""
        device = self.loading.described(ref).device
        cases = self.model_store.golden_cases(ref)
        return [self._ask(ref, case, device) for case in cases]

    def drain(self, name: str, version: str) -> None:
        """Wait until no request waits for a version, and then for those in work.

        TorchServe counts the waiting requests, not those in a worker; ``drain_s``
        must outlast the longest of these. Nobody waits for a version without a
        ready worker: what was asked of it will not be answered.
        """
        deadline = time.monotonic() + _DRAIN_LIMIT_S
        while time.monotonic() < deadline:
            served = [
                one
                for one in self.server.describe(name)
                if one.version == version and one.workers_ready
            ]
            if not any(one.pending_requests for one in served):
                time.sleep(self.drain_s if served else 0)
                return
            time.sleep(_POLL_S)
        raise OutsideError(
            f"{name}@{version} still has requests waiting after {_DRAIN_LIMIT_S:.0f} s",
            hint="run `ms sync apply` again when there is less traffic",
        )

    def _install(self, action: Install, release: Release) -> None:
        self.model_store.install(
            release,
            chunks=ReleasedBytes(self.store, release).chunks,
            on_bytes=lambda _: None,
            overlay=action.overlay,
        )

    def _revive(self, ref: Ref) -> None:
        """Have all workers of a version; those that answer end only if they must.

        TorchServe starts a worker that has ended again, for five minutes. One that it
        has given up comes back only once all are gone.
        """
        # Not those it has: an interrupted revival leaves none.
        workers = self.model_store.serving(ref).min_workers or 1
        self.model_store.clear_load_error(ref)
        if self.loading.described(ref).workers_ready:
            with suppress(OutsideError):
                self.loading.await_ready(ref)
                return
            self.model_store.clear_load_error(ref)
        self.server.scale(ref.name, str(ref.version), 0)
        self.server.scale(ref.name, str(ref.version), workers)
        self.loading.await_ready(ref)

    def _scale(self, ref: Ref, workers: int) -> None:
        """Give a version more or fewer workers; those before if more do not come.

        Left with workers that cannot start, it would be taken for one that does not
        answer, and all of them be started anew.
        """
        name, version = ref.name, str(ref.version)
        before = self.loading.described(ref).workers
        self.model_store.clear_load_error(ref)
        self.server.scale(name, version, workers)
        try:
            self.loading.await_ready(ref)
        except OutsideError:
            if before < workers:
                with suppress(OutsideError):
                    self.server.scale(name, version, before)
            raise

    def _soak(self, ref: Ref, seconds: float) -> None:
        """Watch a new default: its workers, its golden requests, the errors of all.

        TorchServe counts failed requests of all models together; nothing else
        changes on the host meanwhile.

        Raises:
            SoakError: it does worse than what was before.
        """
        pids = self.loading.described(ref).pids
        before = self._counted()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(min(_SOAK_POLL_S, seconds))
            reason = self._why_bad(ref, pids, before)
            if reason:
                raise SoakError(
                    f"{ref} did worse after the switch: {reason}",
                    hint=f"`ms sync rollback {ref.name}` loads the version before",
                )

    def _why_bad(self, ref: Ref, pids: tuple[int, ...], before: Counts | None) -> str:
        served = self.loading.described(ref)
        if not served.is_ready or set(served.pids) != set(pids):
            return "its workers ended"
        reason = why_wrong(ref, self.verdicts(ref))
        now = self._counted()
        if reason or now is None or before is None:
            return reason
        return why_worse(before, now.since(before))

    def _counted(self) -> Counts | None:
        return None if self.counts is None else self.counts.counts()

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


def why_wrong(ref: Ref, verdicts: list[Verdict]) -> str:
    """Say which golden cases were answered wrongly, or nothing."""
    wrong = [verdict for verdict in verdicts if verdict.differences]
    if not wrong:
        return ""
    return (
        f"{ref} answered {len(wrong)} of {len(verdicts)} golden cases wrongly; "
        f"{wrong[0].case}: {wrong[0].differences[0]}"
    )
