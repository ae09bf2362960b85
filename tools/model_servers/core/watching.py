"""Syncing again and again: how long to wait, and what monitoring is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from model_servers.core.host import ServedVersion

_LONGEST_WAIT_S = 900.0
_SPREAD = 0.25
"""Hosts that were started together must not ask the store together."""


class Outcome(Enum):
    """How a round has ended."""

    DONE = "done"
    FAILED = "failed"
    """The store, TorchServe, the disk or a model; the next round may do better."""

    REFUSED = "refused"
    """Some models were left as they are, with the reason; the others were synced."""

    BUSY = "busy"
    """Another ms was at work on this host."""


def wait_s(interval_s: float, failures: int, chance: float) -> float:
    """Say how long to wait for the next round.

    Twice as long after each failure in a row, up to a quarter of an hour (or the
    interval, if that is longer), and each host a little differently.

    Args:
        interval_s: between rounds that succeed.
        failures: in a row, up to now.
        chance: a random number from 0 to 1.

    >>> [wait_s(60, failures, 0.5) for failures in (0, 1, 2, 9)]
    [60.0, 120.0, 240.0, 900.0]
    """
    longest = max(interval_s, _LONGEST_WAIT_S)
    middle = min(interval_s * 2.0 ** min(failures, 30), longest)
    return middle * (1 - _SPREAD + 2 * _SPREAD * chance)


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round came to."""

    outcome: Outcome
    message: str = ""
    """Why it was no success."""

    pending: int | None = None
    """The changes of its plan; None if it did not come to one."""

    refused: int = 0
    served: Mapping[str, tuple[ServedVersion, ...]] | None = None
    """What the server served at its end; None if that is not known."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """All rounds since the start."""

    rounds: Mapping[Outcome, int] = field(default_factory=dict)
    failures: int = 0
    """In a row, up to now; a refusal and a busy host are none."""

    last: Round | None = None
    last_success_s: float = 0.0
    """When, in seconds since 1970; 0 for never."""

    last_duration_s: float = 0.0

    def after(self, found: Round, *, now_s: float, duration_s: float) -> Tally:
        """Give the tally with one more round."""
        is_failure = found.outcome is Outcome.FAILED
        is_success = found.outcome is Outcome.DONE
        count = self.rounds.get(found.outcome, 0) + 1
        return replace(
            self,
            rounds={**self.rounds, found.outcome: count},
            failures=self.failures + 1 if is_failure else 0,
            last=found,
            last_success_s=now_s if is_success else self.last_success_s,
            last_duration_s=duration_s,
        )


def metrics_text(tally: Tally) -> str:
    """Write what Prometheus reads.

    Source: the text exposition format, version 0.0.4.
    """
    last = tally.last or Round(outcome=Outcome.DONE)
    lines = [
        *_metric(
            "sync_rounds_total",
            "counter",
            "Rounds, by how they ended.",
            [({"outcome": one.value}, tally.rounds.get(one, 0)) for one in Outcome],
        ),
        *_metric(
            "sync_failures_in_a_row",
            "gauge",
            "Rounds that failed since the last that did not.",
            [({}, tally.failures)],
        ),
        *_metric(
            "sync_last_success_timestamp_seconds",
            "gauge",
            "When the last round succeeded; 0 for never.",
            [({}, round(tally.last_success_s, 3))],
        ),
        *_metric(
            "sync_last_round_seconds",
            "gauge",
            "How long the last round took.",
            [({}, round(tally.last_duration_s, 3))],
        ),
        *_metric(
            "sync_refused_models",
            "gauge",
            "Models that are left as they are, though something else is asked for.",
            [({}, last.refused)],
        ),
    ]
    if last.pending is not None:
        lines += _metric(
            "sync_planned_changes",
            "gauge",
            "Models that the last round had to change.",
            [({}, last.pending)],
        )
    return "\n".join([*lines, *_served(last.served or {}), ""])


def _served(served: Mapping[str, tuple[ServedVersion, ...]]) -> list[str]:
    versions = [
        ({"model": name, "version": one.version}, one)
        for name, every in sorted(served.items())
        for one in every
    ]
    return [
        *_metric(
            "model_default",
            "gauge",
            "1 for the version that answers requests which name none.",
            [(labels, int(one.is_default)) for labels, one in versions],
        ),
        *_metric(
            "model_workers_ready",
            "gauge",
            "Workers that are ready.",
            [(labels, one.workers_ready) for labels, one in versions],
        ),
        *_metric(
            "model_workers",
            "gauge",
            "Workers that should be.",
            [(labels, one.workers) for labels, one in versions],
        ),
    ]


Sample = tuple[Mapping[str, str], "int | float"]


def _metric(name: str, kind: str, about: str, samples: Iterable[Sample]) -> list[str]:
    full = f"model_servers_{name}"
    lines = [f"# HELP {full} {about}", f"# TYPE {full} {kind}"]
    for labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{full}{{{inner}}} {value}" if inner else f"{full} {value}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
