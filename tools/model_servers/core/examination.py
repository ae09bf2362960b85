"""What examining a served model found: two verdicts, and what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_servers.core.golden import Comparison, Tolerance


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request and what came back."""

    answer: str
    latency_ms: float
    runs: bool
    """The status was 200 and the answer can be decoded."""

    compared: Comparison


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """How one golden case was answered: alone, and among others in its batch."""

    case: str
    tolerance: Tolerance
    alone: Asked
    together: tuple[Asked, ...]

    @property
    def runs(self) -> bool:
        """Every answer came and can be decoded."""
        return all(one.runs for one in self._asked)

    @property
    def reproduces(self) -> bool:
        """Every answer is the expected one, within tolerance."""
        return not self.differences

    @property
    def differences(self) -> tuple[str, ...]:
        """Give those of the answer alone, or else those of the first wrong one."""
        return next(
            (
                one.compared.differences
                for one in self._asked
                if one.compared.differences
            ),
            (),
        )

    @property
    def only_together(self) -> bool:
        """The case is answered rightly alone, and wrongly in a batch."""
        return bool(self.differences) and not self.alone.compared.differences

    @property
    def max_absolute_error(self) -> float:
        """The largest of all answers."""
        return max(one.compared.max_absolute_error for one in self._asked)

    @property
    def max_relative_error(self) -> float:
        """The largest of all answers."""
        return max(one.compared.max_relative_error for one in self._asked)

    @property
    def _asked(self) -> tuple[Asked, ...]:
        return (self.alone, *self.together)

    def to_mapping(self) -> dict[str, Any]:
        """Give the result as JSON values."""
        return {
            "case": self.case,
            "runs": self.runs,
            "reproduces": self.reproduces,
            "latency_ms": round(self.alone.latency_ms, 3),
            "max_absolute_error": _finite(self.max_absolute_error),
            "max_relative_error": _finite(self.max_relative_error),
            "first_difference": next(iter(self.differences), None),
            "only_together": self.only_together,
            "differences": list(self.differences),
            "tolerance": {
                "absolute": self.tolerance.absolute,
                "relative": self.tolerance.relative,
            },
        }


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a served model."""

    load_s: float
    """From its registration until all its workers were ready."""

    latencies_ms: tuple[float, ...]
    """Of requests one after the other."""

    memory_mib: int | None
    """Resident in its workers; None where the system does not tell."""

    @property
    def p50_ms(self) -> float:
        """Half of the requests were as quick."""
        return percentile(self.latencies_ms, 50)

    @property
    def p95_ms(self) -> float:
        """All but one in twenty were as quick."""
        return percentile(self.latencies_ms, 95)

    def to_mapping(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "load_s": round(self.load_s, 3),
            "latency_ms": {"p50": round(self.p50_ms, 3), "p95": round(self.p95_ms, 3)},
            "memory_mib": self.memory_mib,
        }


@dataclass(frozen=True, kw_only=True)
class Examination:
    """How a served model did."""

    device: str
    cases: tuple[CaseResult, ...]
    measured: Measured

    @property
    def runs(self) -> bool:
        """Every request got an answer that can be decoded."""
        return all(case.runs for case in self.cases)

    @property
    def reproduces(self) -> bool:
        """Every answer was the expected one."""
        return all(case.reproduces for case in self.cases)

    def wrong(self) -> list[CaseResult]:
        """List the cases that were answered wrongly, alone or together."""
        return [case for case in self.cases if not case.reproduces]


def percentile(values: Sequence[float], percent: int) -> float:
    """Give the smallest value that *percent* of the values do not exceed.

    >>> percentile([4, 1, 3, 2], 50), percentile([4, 1, 3, 2], 95)
    (2, 4)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _finite(error: float) -> float | None:
    """Give what JSON can hold: None for an error without bound."""
    return error if math.isfinite(error) else None
