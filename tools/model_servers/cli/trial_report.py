"""What `ms test` and `ms demo` tell of the models that they tried. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_servers.cli import render
from model_servers.core.verdicts import REPORT_SCHEMA_NUMBER

if TYPE_CHECKING:
    from model_servers.core.examination import CaseResult, Examination
    from model_servers.errors import ModelServersError
    from model_servers.journeys.build import Recipe


@dataclass(frozen=True, kw_only=True)
class Row:
    """How one model did."""

    name: str
    version: str
    inputs_digest: str
    archive_sha256: str
    archive_bytes: int
    logs: Path
    """Where TorchServe's are."""

    examination: Examination | None = None
    """None if the model could not be examined; then there is an error."""

    error: str = ""
    hint: str = ""

    @classmethod
    def of(cls, recipe: Recipe, sha256: str, size_bytes: int, logs: Path) -> Row:
        """Begin with what is known before the model is loaded."""
        return cls(
            name=recipe.spec.name,
            version=str(recipe.spec.version),
            inputs_digest=recipe.inputs_digest,
            archive_sha256=sha256,
            archive_bytes=size_bytes,
            logs=logs,
        )

    def failed(self, error: ModelServersError) -> Row:
        """Give the row of a model that could not be examined."""
        return replace(self, error=str(error), hint=error.hint)

    def examined(self, examination: Examination) -> Row:
        """Give the row of a model that was asked."""
        return replace(self, examination=examination)

    @property
    def runs(self) -> bool:
        """Every request got an answer that can be decoded."""
        return self.examination is not None and self.examination.runs

    @property
    def reproduces(self) -> bool:
        """Every answer was the expected one."""
        return self.examination is not None and self.examination.reproduces

    @property
    def verdict(self) -> str:
        """Say both: how many cases are answered, and how many rightly."""
        if self.examination is None:
            return "FAILED"
        cases = self.examination.cases
        ran = sum(case.runs for case in cases)
        right = sum(case.reproduces for case in cases)
        count = len(cases)
        return f"runs {ran} of {count}, reproduces {right} of {count}"

    def to_mapping(self) -> dict[str, Any]:
        """Give the row as JSON values."""
        examination = self.examination
        return {
            "schema": REPORT_SCHEMA_NUMBER,
            "model": self.name,
            "version": self.version,
            "inputs_digest": self.inputs_digest,
            "archive_sha256": self.archive_sha256,
            "archive_bytes": self.archive_bytes,
            "device": examination and examination.device,
            "runs": self.runs,
            "reproduces": self.reproduces,
            "cases": [case.to_mapping() for case in examination.cases]
            if examination
            else [],
            "measured": examination and examination.measured.to_mapping(),
            "error": self.error or None,
            "fix": self.hint or None,
            "log": str(_log(self)),
        }


@dataclass(frozen=True)
class Report:
    """How every model did."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Every model answered every golden case rightly."""
        return all(row.runs and row.reproduces for row in self.rows)

    def to_text(self) -> str:
        """Write a table, and below it what went wrong."""
        header = ["model", "version", "size", "ready after", "verdict", "answer"]
        rows = [
            [
                row.name,
                row.version,
                render.size(row.archive_bytes),
                _ready_after(row),
                row.verdict,
                _first_answer(row),
            ]
            for row in self.rows
        ]
        wrong = [line for row in self.rows for line in _wrong(row)]
        return "\n".join([render.table([header, *rows]), *wrong])

    def measured_text(self) -> str:
        """Write what was measured, and how each case did."""
        return "\n\n".join(
            "\n".join(_measured(row, row.examination))
            for row in self.rows
            if row.examination is not None
        )

    def to_mapping(self) -> list[dict[str, Any]]:
        """Give the report as JSON values."""
        return [row.to_mapping() for row in self.rows]


def _wrong(row: Row) -> Iterator[str]:
    if row.error:
        yield f"{row.name}: {row.error}"
        yield f"    fix: {row.hint or 'correct the model'}"
        yield f"    log: {_log(row)}"
    if row.examination is None or not row.examination.wrong():
        return
    yield f"{row.name}: {row.verdict}"
    for case in row.examination.wrong():
        yield f"    {case.case}: {_difference(row.examination, case)}"
    if all(case.only_together for case in row.examination.wrong()):
        yield "    fix: answer in the order of the batch, each from its own sample"
        return
    yield (
        "    fix: correct the model; if the new answer is right:"
        f" ms golden {row.name} --update"
    )
    if not row.runs:
        yield f"    log: {_log(row)}"


def _difference(examination: Examination, case: CaseResult) -> str:
    together = "together with others, " if case.only_together else ""
    return (
        f"{together}{case.differences[0]}"
        f" (tolerance on {examination.device}: {case.tolerance})"
    )


def _measured(row: Row, found: Examination) -> Iterator[str]:
    measured = found.measured
    memory = "unknown" if measured.memory_mib is None else f"{measured.memory_mib} MiB"
    count = len(measured.latencies_ms)
    yield (
        f"{row.name} {row.version} on {found.device}:"
        f" loaded in {measured.load_s:.1f} s, p50 {measured.p50_ms:.1f} ms,"
        f" p95 {measured.p95_ms:.1f} ms of {count} requests,"
        f" memory of its workers {memory}"
    )
    header = ["  case", "latency", "max absolute error", "max relative error", ""]
    yield render.table(
        [
            header,
            *(
                [
                    f"  {case.case}",
                    f"{case.alone.latency_ms:.1f} ms",
                    f"{case.max_absolute_error:.2g}",
                    f"{case.max_relative_error:.2g}",
                    "reproduces" if case.reproduces else "WRONG",
                ]
                for case in found.cases
            ),
        ]
    )


def _ready_after(row: Row) -> str:
    found = row.examination
    return "-" if found is None else f"{found.measured.load_s:.1f} s"


def _first_answer(row: Row) -> str:
    if row.examination is None:
        return "-"
    answer = " ".join(row.examination.cases[0].alone.answer.split())
    return answer if len(answer) <= 48 else f"{answer[:47]}…"


def _log(row: Row) -> Path:
    return row.logs / "model_log.log"
