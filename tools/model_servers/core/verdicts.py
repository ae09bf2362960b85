"""What a test in a real TorchServe found out about an archive.

Of a report's many words, a release keeps the few that stay true of its bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_servers.core.names import Ref, Version

if TYPE_CHECKING:
    from typing_extensions import Self

REPORT_SCHEMA_NUMBER = 1


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One golden case that was answered as expected."""

    case: str
    latency_ms: float
    """Of the request that was asked alone."""


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A test that an archive has passed on one kind of device."""

    device: str
    """``cpu`` or ``gpu``."""

    golden: tuple[Answered, ...]
    load_s: float
    """From its registration until all its workers were ready."""

    p50_ms: float
    p95_ms: float
    memory_mib: int | None
    """Resident in its workers; None where the system does not tell."""

    def to_mapping(self) -> dict[str, Any]:
        """Give JSON values; ``from_mapping`` of them gives this test again."""
        return {
            "device": self.device,
            "golden": [
                {"case": one.case, "verdict": "passed", "latency_ms": one.latency_ms}
                for one in self.golden
            ],
            "measured": {
                "load_s": self.load_s,
                "latency_ms": {"p50": self.p50_ms, "p95": self.p95_ms},
                "memory_mib": self.memory_mib,
            },
        }

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a test that ``release.schema.json`` has accepted."""
        return cls._of(data["device"], data["golden"], data["measured"])

    @classmethod
    def of_report(cls, data: Mapping[str, Any]) -> Self:
        """Take what a release keeps of a document that ``report.schema.json`` took."""
        return cls._of(data["device"], data["cases"], data["measured"])

    @classmethod
    def _of(
        cls, device: str, cases: list[dict[str, Any]], measured: Mapping[str, Any]
    ) -> Self:
        latency_ms = measured["latency_ms"]
        return cls(
            device=device,
            golden=tuple(
                Answered(case=one["case"], latency_ms=float(one["latency_ms"]))
                for one in sorted(cases, key=lambda one: str(one["case"]))
            ),
            load_s=float(measured["load_s"]),
            p50_ms=float(latency_ms["p50"]),
            p95_ms=float(latency_ms["p95"]),
            memory_mib=measured["memory_mib"],
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a report says of one archive."""

    ref: Ref
    inputs_digest: str
    archive_sha256: str
    problem: str
    """Why it did not pass; empty if it did."""

    tested: Passed | None
    """None if there is a problem."""

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a document that ``report.schema.json`` has accepted."""
        problem = _problem(data)
        return cls(
            ref=Ref(data["model"], Version.parse(data["version"])),
            inputs_digest=data["inputs_digest"],
            archive_sha256=data["archive_sha256"],
            problem=problem,
            tested=None if problem else Passed.of_report(data),
        )


def _problem(data: Mapping[str, Any]) -> str:
    if data["error"]:
        return str(data["error"])
    cases = data["cases"]
    if not cases or data["measured"] is None or data["device"] is None:
        return "it was not asked"
    wrong = [one["case"] for one in cases if not (one["runs"] and one["reproduces"])]
    count = f"{len(wrong)} of {len(cases)} golden answers"
    return f"{count} not as expected, such as {wrong[0]!r}" if wrong else ""
