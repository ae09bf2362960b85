"""``ms validate``, ``ms build``, ``ms test``: what a contributor runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from model_servers.cli import expect, render, trial, wire
from model_servers.cli.catalogue import explained
from model_servers.cli.checks import checked, named, of_models
from model_servers.cli.settings import Settings
from model_servers.cli.watch import say
from model_servers.core.findings import Finding
from model_servers.errors import ExitStatus, RequestError


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
    names, findings = checked(options, settings)
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
    journey = expect.as_asked(wire.build(settings), options.expect)
    done = []
    for name in names:
        done.append(journey.write(journey.recipe(name), Path(options.output)))
        (say if options.json else print)(render.built_text(done[-1]))
    if options.json:
        print(expect.told(done))
    return ExitStatus.DONE


def test(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Serve models in a TorchServe of our own and compare their golden answers."""
    names, findings = findings_of(options.models, settings)
    if findings:
        print(render.findings_text(findings, models=len(names)))
        return ExitStatus.FINDINGS
    report = trial.run(names, options, settings)
    if options.json:
        print(json.dumps(report.to_mapping(), indent=2))
    else:
        print(report.to_text())
    return ExitStatus.DONE if report.passed else ExitStatus.FINDINGS


def findings_of(
    wanted: list[str], settings: Settings
) -> tuple[list[str], list[Finding]]:
    """Validate the models asked for, or all; give their names and what is wrong.

    Hints are for ``ms validate``: nothing that comes after it stops for one.
    """
    names = named(wanted, settings)
    return names, [one for one in of_models(names, settings) if one.is_error]


def _status(findings: list[Finding]) -> ExitStatus:
    is_wrong = any(finding.is_error for finding in findings)
    return ExitStatus.FINDINGS if is_wrong else ExitStatus.DONE
