"""``ms golden``: what an author runs to record answers."""

from __future__ import annotations

import argparse
import json
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_servers.cli import flags, render, wire
from model_servers.cli.model import findings_of
from model_servers.cli.watch import say
from model_servers.core.codes import Code
from model_servers.core.golden import GoldenCase
from model_servers.core.recording import as_entry
from model_servers.core.scaffold.documents import golden_yaml
from model_servers.errors import ExitStatus, RequestError
from model_servers.journeys.golden import Outcome, State, ask_again
from model_servers.journeys.workbench import golden_cases

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.core.findings import Finding

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BOUND = """\
  cpu: {absolute: 1.0e-4, relative: 1.0e-4}
  gpu: {absolute: 1.0e-3, relative: 1.0e-3}
"""


def add(commands: Commands) -> None:
    """Add the arguments of ``ms golden``."""
    command = flags.command(
        commands,
        "golden",
        golden,
        "ask a model its golden cases, and record the answers",
    )
    flags.model(command)
    command.add_argument(
        "cases", metavar="CASE", nargs="*", help="names of cases; all if none is given"
    )
    command.add_argument(
        "--update", action="store_true", help="write the answers into the cases"
    )
    command.add_argument(
        "--add", metavar="NAME", help="make a case, of --body or --body-file"
    )
    body = command.add_mutually_exclusive_group()
    body.add_argument("--body", metavar="JSON", help="the new case's request")
    body.add_argument("--body-file", metavar="FILE", help="a file that is the request")
    command.add_argument(
        "--content-type", metavar="TYPE", help="of the file (by its name)"
    )
    flags.registry(command)
    flags.torchserve(command)


def golden(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Show how a model answers its cases now, and record that if asked to."""
    _check(options)
    findings = unservable(options.model, settings)
    if findings:
        print(render.findings_text(findings, models=1))
        return ExitStatus.FINDINGS
    if options.add is not None:
        return _add(options, settings)
    cases = _chosen(options, golden_cases(wire.registry(settings), options.model))
    outcomes = _asked(options, settings, cases)
    files = wire.golden_files(settings)
    for path, outcome in outcomes.items():
        if options.update and outcome.is_recordable:
            files.record(options.model, path, outcome.answer)
        print(outcome_text(outcome))
    return _status(options, list(outcomes.values()))


def unservable(name: str, settings: Settings) -> list[Finding]:
    """Find what keeps a model from being served: all but missing golden answers."""
    _, findings = findings_of([name], settings)
    missing = (Code.UNRECORDED, Code.GOLDEN)
    return [finding for finding in findings if finding.code not in missing]


def outcome_text(outcome: Outcome) -> str:
    """Write a line about one case."""
    detail = f": {outcome.detail}" if outcome.detail else ""
    return f"{outcome.case}: {outcome.state.value}{detail}"


def _check(options: argparse.Namespace) -> None:
    has_body = options.body is not None or options.body_file is not None
    if (options.add is not None) != has_body:
        raise RequestError(
            "a new case needs a name and a request",
            hint=how_to_add(options.model),
        )
    if options.add is None:
        return
    if options.cases:
        raise RequestError(
            "--add makes one case, and others are named too",
            hint="leave out the others",
        )
    if _NAME.fullmatch(options.add) is None:
        raise RequestError(
            f"{options.add!r} cannot name a case; expected letters, digits, . _ and -",
            hint="choose another name",
        )


def how_to_add(name: str) -> str:
    """Say how a model gets a golden case."""
    return f"ms golden {name} --add NAME --body '[1, 2]', or --body-file FILE"


def _chosen(
    options: argparse.Namespace, cases: Mapping[str, GoldenCase]
) -> Mapping[str, GoldenCase]:
    names = {case.name for case in cases.values()}
    for wanted in options.cases:
        if wanted not in names:
            raise RequestError(
                f"{options.model} has no golden case {wanted!r}",
                hint=f"cases here: {', '.join(sorted(names)) or 'none'}",
            )
    if not cases:
        raise RequestError(
            f"{options.model} has no golden case",
            hint=how_to_add(options.model),
        )
    return {
        path: case
        for path, case in cases.items()
        if not options.cases or case.name in options.cases
    }


def _asked(
    options: argparse.Namespace, settings: Settings, cases: Mapping[str, GoldenCase]
) -> dict[str, Outcome]:
    """Serve the model and ask it; by the paths of the cases."""
    build = wire.build(settings)
    recipe = build.recipe(options.model)
    with wire.workbench(options, settings.work / "golden") as (bench, addresses):
        say(f"TorchServe listens at {addresses.inference}; loading {recipe.spec.ref}")
        ref = bench.load(build, recipe)
        device = bench.loading.described(ref).device
        return {
            path: ask_again(bench.server, ref, case, device=device)
            for path, case in cases.items()
        }


def _status(options: argparse.Namespace, outcomes: list[Outcome]) -> ExitStatus:
    refused = [one for one in outcomes if one.is_refused]
    pending = [one for one in outcomes if one.is_recordable and not options.update]
    if refused:
        say(
            f"{len(refused)} of {len(outcomes)} cases have no answer to record\n"
            "hint: correct the model; a random model needs a seed, a wider tolerance or"
            " another request"
        )
    if pending:
        say(
            f"{len(pending)} of {len(outcomes)} cases would change\n"
            f"hint: if that is right: ms golden {options.model} --update"
        )
    elif not refused:
        written = sum(one.is_recordable for one in outcomes)
        say(
            f"{written} of {len(outcomes)} answers written\n"
            f"hint: look at them (git diff), then: ms test {options.model}"
            if written
            else f"nothing to record\nhint: ms test {options.model}"
        )
    return ExitStatus.FINDINGS if refused or pending else ExitStatus.DONE


def _add(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    registry = wire.registry(settings)
    model = registry.read(options.model).model
    folder = model.data.get("golden", "golden") if model else "golden"
    path = f"{folder}/{options.add}.yaml"
    if registry.path(options.model, path).exists():
        raise RequestError(
            f"{options.model} has a golden case {options.add!r}",
            hint=f"ms golden {options.model} {options.add} --update, or another name",
        )
    request, body = _request(options)
    text = golden_yaml(
        about="Recorded by ms golden.",
        request="\n".join(
            as_entry(key, value, indent="  ") for key, value in request.items()
        ),
        bound=_BOUND,
    )
    data = {"request": request, "tolerance": {"cpu": _TOLERANCE, "gpu": _TOLERANCE}}
    case = GoldenCase.from_mapping(options.add, data, read=lambda _: body)
    (outcome,) = _asked(options, settings, {path: case}).values()
    if outcome.state is State.NEW:
        files = wire.golden_files(settings)
        if "file" in request:
            files.add_body(options.model, f"{folder}/{request['file']}", body)
        files.add(options.model, path, text, outcome.answer)
    print(outcome_text(outcome))
    return _status(argparse.Namespace(model=options.model, update=True), [outcome])


_TOLERANCE = {"absolute": 1e-4, "relative": 1e-4}


def _request(options: argparse.Namespace) -> tuple[dict[str, Any], bytes]:
    """Give the request as its document says it, and the bytes of its file."""
    if options.body is not None:
        try:
            value = json.loads(options.body)
        except (ValueError, RecursionError) as error:
            raise RequestError(
                f"--body is not JSON: {error}",
                hint="quote it: --body '[1, 2, 3]'; a request that is no JSON goes into"
                " a file: --body-file FILE",
            ) from error
        return {
            "content_type": options.content_type or "application/json",
            "json": value,
        }, b""
    file = Path(options.body_file)
    try:
        body = file.read_bytes()
    except OSError as error:
        raise RequestError(
            f"{file} cannot be read: {error.strerror}", hint="correct --body-file"
        ) from error
    guessed, _ = mimetypes.guess_type(file.name)
    known = _NAME.fullmatch(file.name) is not None
    return {
        "content_type": options.content_type or guessed or "application/octet-stream",
        "file": file.name if known else f"{options.add}{file.suffix}",
    }, body
