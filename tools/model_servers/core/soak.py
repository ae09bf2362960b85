"""Whether a host answers worse since a version became the default."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FEWEST_ERRORS = 3
"""One failed request is no trend."""

_TOLERATED_SHARE = 0.01
"""Of the requests, beside twice what failed before."""

_COUNTER = re.compile(r"^Requests([245])XX(?:\{[^}]*\})?\s+([0-9.eE+]+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Requests that TorchServe has answered since its start."""

    requests: int
    errors: int
    """Those whose status was 500 or above."""

    @property
    def share(self) -> float:
        """The share of errors."""
        return self.errors / self.requests if self.requests else 0.0

    def since(self, before: Counts) -> Counts:
        """Give what came after *before*; all of it if TorchServe has started anew."""
        if self.requests < before.requests:
            return self
        return Counts(
            requests=self.requests - before.requests,
            errors=max(0, self.errors - before.errors),
        )


def counts_of(metrics: str) -> Counts | None:
    """Read TorchServe's metrics in Prometheus's format; None if it counts nothing.

    Source: ``metrics_mode=prometheus``; each counter appears with its first request.
    """
    found = [(kind, int(float(number))) for kind, number in _COUNTER.findall(metrics)]
    if not found:
        return None
    return Counts(
        requests=sum(number for _, number in found),
        errors=sum(number for kind, number in found if kind == "5"),
    )


def why_worse(before: Counts, since: Counts) -> str:
    """Say why a version should go back, or nothing.

    Args:
        before: all that was answered until it became the default.
        since: what was answered after that.
    """
    allowed = 2 * before.share + _TOLERATED_SHARE
    if since.errors < _FEWEST_ERRORS or since.share <= allowed:
        return ""
    return (
        f"{since.errors} of {since.requests} requests failed since; "
        f"{before.share:.1%} did before"
    )
