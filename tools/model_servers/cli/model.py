"""``ms validate``, ``ms build``, ``ms test``: what a contributor runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import expect, flags, render, trial, wire
from model_servers.cli.checks import checked, named, of_models
from model_servers.cli.explain import explained
from model_servers.cli.watch import say
from model_servers.errors import ExitStatus, OutsideError, RequestError

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.core.findings import Finding


def add_validate(commands: Commands) -> None:
    """Add the arguments of ``ms validate``."""
    command = flags.command(
        commands,
        "validate",
        validate,
        "check models; show everything wrong",
    )
    flags.models(command, "*")
    command.add_argument(
        "--format",
        choices=("text", "json", "github"),
        default="text",
        help="github writes annotations for a pull request",
    )
    command.add_argument("--all", action="store_true", help="every model")
    command.add_argument(
        "--static", action="store_true", help="import no code of the models"
    )
    command.add_argument(
        "--explain",
        metavar="CODE",
        help="tell what a code such as MS050 means, and nothing else; all for every",
    )
    flags.base(
        command,
        "compare versions with the merge base of HEAD and REF; only the models that"
        " changed since then, if none is named",
    )
    flags.registry(command)
    flags.store(command)


def add_build(commands: Commands) -> None:
    """Add the arguments of ``ms build``."""
    command = flags.command(
        commands,
        "build",
        build,
        "build the .mar of models, reproducibly",
    )
    flags.models(command, "+")
    command.add_argument(
        "-o", "--output", metavar="DIR", default="dist", help="where to (%(default)s)"
    )
    command.add_argument(
        "--json", action="store_true", help="digests by file name, in one line"
    )
    expect.flag(command)
    flags.registry(command)


def add_test(commands: Commands) -> None:
    """Add the arguments of ``ms test``."""
    command = flags.command(
        commands,
        "test",
        test,
        "have a TorchServe of its own answer a model's golden cases",
    )
    flags.models(command, "+")
    command.add_argument(
        "--layout",
        choices=("dir", "mar"),
        default="dir",
        help="dir, as on a host; mar, as any TorchServe takes archives (%(default)s)",
    )
    command.add_argument(
        "--report", metavar="FILE", help="write what was found and measured, as JSON"
    )
    expect.flag(command)
    flags.as_json(command)
    flags.registry(command)
    flags.torchserve(command)


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
    names, findings = checked(options, settings, imports_code=not options.static)
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
    if options.report is not None and len(set(options.models)) > 1:
        raise RequestError(
            f"--report is of one model, and {len(set(options.models))} are named",
            hint="test them one after the other, or use --json",
        )
    if options.expect is not None and options.layout != "mar":
        raise RequestError(
            "--expect is about archives, and a directory would be tried",
            hint="add --layout mar",
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

    Hints are for ``ms validate``: nothing that comes after it stops for one. What
    comes after fetches the weights that it needs, and verifies them then.
    """
    names = named(wanted, settings)
    found = of_models(names, settings, fetch=False)
    return names, [one for one in found if one.is_error]


def _status(findings: list[Finding]) -> ExitStatus:
    is_wrong = any(finding.is_error for finding in findings)
    return ExitStatus.FINDINGS if is_wrong else ExitStatus.DONE
