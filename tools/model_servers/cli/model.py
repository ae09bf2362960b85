"""``ms validate``, ``ms build``, ``ms test``: what a contributor runs."""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone
from pathlib import Path

from model_servers.cli import render, trial, wire
from model_servers.cli.catalogue import explained
from model_servers.cli.settings import Settings
from model_servers.cli.watch import say
from model_servers.core.findings import Finding
from model_servers.errors import ExitStatus, OutsideError, RequestError
from model_servers.journeys.validate import validate as find


def validate(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show everything that is wrong, and what is worth a look."""
    if options.explain is not None:
        print(explained(options.explain))
        return ExitStatus.DONE
    if options.all and options.models:
        raise RequestError(
            "--all means every model, and models are named too",
            hint="leave out --all, or the names",
        )
    names, findings = _everything(options.models, settings)
    if options.format == "json":
        print(json.dumps(render.findings_mapping(findings), indent=2))
    elif options.format == "github":
        print(render.findings_github(findings))
    else:
        print(render.findings_text(findings, models=len(names)))
    return _status(findings)


def build(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Write archives, if nothing is wrong with any of the models."""
    names, findings = findings_of(options.models, settings)
    if findings:
        print(render.findings_text(findings, models=len(names)))
        return ExitStatus.FINDINGS
    journey = wire.build(settings)
    for name in names:
        built = journey.write(journey.recipe(name), Path(options.output))
        print(render.built_text(built))
    return ExitStatus.DONE


def test(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Serve models in a TorchServe of our own and compare their golden answers."""
    if options.report is not None and len(set(options.models)) > 1:
        raise RequestError(
            f"--report is of one model, and {len(set(options.models))} are named",
            hint="test them one after the other, or use --json",
        )
    names, findings = findings_of(options.models, settings)
    if findings:
        print(render.findings_text(findings, models=len(names)))
        return ExitStatus.FINDINGS
    run = trial.run_plain if options.layout == "mar" else trial.run
    report = run(names, options, settings)
    if options.report is not None:
        (row,) = report.to_mapping()
        _write_report(Path(options.report), row)
    if options.json:
        print(json.dumps(report.to_mapping(), indent=2))
    else:
        print("\n\n".join(filter(None, [report.measured_text(), report.to_text()])))
    if not report.passed:
        return ExitStatus.FINDINGS
    say(f"next: open a pull request; to ask it yourself: ms serve {names[0]}")
    return ExitStatus.DONE


def _write_report(file: Path, report: object) -> None:
    try:
        file.write_text(f"{json.dumps(report, indent=2)}\n", "utf-8")
    except OSError as error:
        raise OutsideError(
            f"the report {file} cannot be written: {error.strerror}",
            hint="correct --report",
        ) from error


def findings_of(
    wanted: list[str], settings: Settings
) -> tuple[list[str], list[Finding]]:
    """Validate the models asked for, or all; give their names and what is wrong.

    Hints are for ``ms validate``: nothing that comes after it stops for one.
    """
    names, findings = _everything(wanted, settings)
    return names, [finding for finding in findings if finding.is_error]


def _everything(
    wanted: list[str], settings: Settings
) -> tuple[list[str], list[Finding]]:
    registry = wire.registry(settings)
    names = list(dict.fromkeys(wanted)) or registry.names()
    # Days begin and end in UTC, so that a pull request and its author agree.
    today = datetime.now(timezone.utc).date().isoformat()
    return names, find(registry, names, today=today)


def _status(findings: list[Finding]) -> ExitStatus:
    is_wrong = any(finding.is_error for finding in findings)
    return ExitStatus.FINDINGS if is_wrong else ExitStatus.DONE
