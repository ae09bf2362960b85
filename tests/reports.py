"""Reports as ``ms test`` writes them, of models that nobody has tested."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.core.verdicts import Verdict
from model_servers.journeys.build import Build

RIGHT = {
    "case": "case",
    "runs": True,
    "reproduces": True,
    "latency_ms": 1.5,
    "max_absolute_error": 0.0,
    "max_relative_error": 0.0,
    "first_difference": None,
    "only_together": False,
    "differences": [],
    "tolerance": {"absolute": 0.0, "relative": 0.0},
}
"""One golden case that was answered as expected."""

WRONG = {
    **RIGHT,
    "reproduces": False,
    "first_difference": "answer[0]: 2, expected 1",
    "differences": ["answer[0]: 2, expected 1"],
}

MEASURED = {
    "load_s": 2.25,
    "latency_ms": {"p50": 1.25, "p95": 4.5},
    "memory_mib": 2048,
}


def report_of(
    registry: Path,
    name: str,
    *,
    cases: Iterable[Mapping[str, Any]] = (RIGHT,),
    **changes: Any,
) -> dict[str, Any]:
    """Give the report of a test of what a model is now, with *changes*."""
    build = Build(registry=Checkout(registry), writer=MarWriter())
    recipe = build.recipe(name)
    with tempfile.TemporaryDirectory() as folder:
        archive = build.write(recipe, Path(folder)).archive
    cases = [dict(one) for one in cases]
    return {
        "schema": 1,
        "model": name,
        "version": str(recipe.spec.version),
        "inputs_digest": recipe.inputs_digest,
        "archive_sha256": archive.sha256,
        "archive_bytes": archive.size_bytes,
        "device": "cpu",
        "runs": all(one["runs"] for one in cases),
        "reproduces": all(one["reproduces"] for one in cases),
        "cases": cases,
        "measured": MEASURED,
        "error": None,
        "fix": None,
        "log": "model_log.log",
        **changes,
    }


def verdict_of(registry: Path, name: str, **changes: Any) -> Verdict:
    """Give what such a report says."""
    return Verdict.from_mapping(report_of(registry, name, **changes))
