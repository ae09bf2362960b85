"""Load one version into a running TorchServe, and know that it serves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from model_servers.core.host import ServedVersion
from model_servers.core.names import Ref
from model_servers.core.spec import Serving
from model_servers.errors import OutsideError
from model_servers.ports import ModelServer

_POLL_S = 0.5
"""Describing a version asks nvidia-smi once per worker, so not too often."""

_START_MARGIN_S = 30.0
"""Beside ``startupTimeout``: Python and torch start before loading does."""

_STARTUP_TIMEOUT_S = 120
"""TorchServe's own, where the model config is silent."""

_TRIES_TO_LOAD = 3
"""Worker processes seen to come and go before a version counts as broken."""


class Entries(Protocol):
    """What loading needs to know about the entries of a model store."""

    def serving(self, ref: Ref) -> Serving:
        """Read what *ref* asks of TorchServe."""

    def load_error(self, ref: Ref) -> str | None:
        """Give the shared handler's own report of why *ref* could not be loaded."""

    def clear_load_error(self, ref: Ref) -> None:
        """Forget the report, before a new try."""


@dataclass(frozen=True, kw_only=True)
class Loading:
    """Loads entries of one model store into one server."""

    server: ModelServer
    entries: Entries

    def load(self, ref: Ref) -> float:
        """Register *ref* and wait until it serves; give the seconds that took.

        Raises:
            OutsideError: as :meth:`await_ready`.
        """
        started = time.monotonic()
        self.entries.clear_load_error(ref)
        self.server.register(ref)
        self.await_ready(ref)
        return time.monotonic() - started

    def await_ready(self, ref: Ref) -> None:
        """Wait until every worker of *ref* is ready and serves what was asked.

        Raises:
            OutsideError: it cannot be loaded; with the handler's reason if it
                gave one.
        """
        asked = self.entries.serving(ref)
        limit_s = (asked.startup_timeout_s or _STARTUP_TIMEOUT_S) + _START_MARGIN_S
        deadline = time.monotonic() + limit_s
        pids: set[int] = set()
        while time.monotonic() < deadline:
            served = self.described(ref)
            if served.is_ready:
                _check_settings(ref, served.ignored_settings(asked))
                return
            pids.update(served.pids)
            reason = self.entries.load_error(ref)
            if reason is not None:
                raise OutsideError(
                    f"{ref} cannot be loaded: {reason}",
                    hint=f"correct the model; `ms test {ref.name}` tries it",
                )
            if len(pids) > _TRIES_TO_LOAD * max(1, served.workers):
                raise OutsideError(
                    f"{ref} cannot be loaded: its workers ended {len(pids)} times",
                    hint="read TorchServe's log, model_log.log",
                )
            time.sleep(_POLL_S)
        raise OutsideError(
            f"{ref} was not ready within {limit_s:.0f} s",
            hint="raise startupTimeout in model-config.yaml if loading takes longer",
        )

    def described(self, ref: Ref) -> ServedVersion:
        """Describe *ref*; OutsideError if it is not registered."""
        for served in self.server.describe(ref.name):
            if served.version == str(ref.version):
                return served
        raise OutsideError(
            f"{ref} is not registered any more",
            hint="run `ms sync plan` again",
        )


def _check_settings(ref: Ref, ignored: list[str]) -> None:
    if ignored:
        raise OutsideError(
            f"TorchServe serves {ref} with other settings: " + "; ".join(ignored),
            hint="correct model-config.yaml; TorchServe ignores what it cannot use",
        )
