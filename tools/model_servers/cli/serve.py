"""``ms serve``: one model as it is, and again after every edit."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from model_servers.cli import render, wire
from model_servers.cli.golden import unservable
from model_servers.cli.settings import Settings
from model_servers.core.golden import GoldenCase
from model_servers.errors import ExitStatus, ModelServersError
from model_servers.journeys.live import Live
from model_servers.journeys.workbench import golden_cases

_POLL_S = 1.0


def serve(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Serve a model until Ctrl-C."""
    name = options.model
    findings = unservable(name, settings)
    if findings:
        print(render.findings_text(findings, models=1))
        return ExitStatus.FINDINGS
    seen = wire.stamp(settings, name)
    with wire.workbench(options, settings.work / "serve" / name) as (bench, addresses):
        live = Live.start(bench, wire.build(settings), name)
        try:
            url = f"{addresses.inference}/predictions/{name}"
            for line in curl_lines(settings, name, url):
                _tell(line)
            _tell(f"ready: {live.ref} at {url}; edits are served, Ctrl-C ends it")
            _follow(live, settings, seen)
        except KeyboardInterrupt:
            _tell("stopped")
        finally:
            live.stop()
    return ExitStatus.DONE


def curl_lines(settings: Settings, name: str, url: str) -> Iterator[str]:
    """Yield a command for each golden case, ready to paste."""
    registry = wire.registry(settings)
    documents = {document.path: document for document in registry.read(name).golden}
    for path, case in golden_cases(registry, name).items():
        file = documents[path].data["request"].get("file")
        beside = registry.path(name, path).parent / file if file else None
        yield f"# {case.name}"
        yield curl(case, url, file=beside)


def curl(case: GoldenCase, url: str, *, file: Path | None) -> str:
    """Write a request as a command: texts inline, files by their paths."""
    if file is None:
        body = f"--data-raw {shlex.quote(case.request.body.decode())}"
    else:
        body = f"--data-binary {shlex.quote(f'@{file}')}"
    header = shlex.quote(f"Content-Type: {case.request.content_type}")
    return f"curl -H {header} {body} {url}"


def _follow(live: Live, settings: Settings, seen: object) -> None:
    """Look for edits, and serve what they made of the model."""
    while True:
        time.sleep(_POLL_S)
        found = wire.stamp(settings, live.name)
        if found == seen:
            continue
        seen = found  # what is edited from here on is found by the next look
        _reload(live, settings)


def _reload(live: Live, settings: Settings) -> None:
    try:
        findings = unservable(live.name, settings)
        if findings:
            _tell(f"kept the old one: {findings[0]}")
        elif live.reload(wire.build(settings)):
            _tell(f"reloaded: {live.name}")
    except ModelServersError as error:
        _tell(f"kept the old one: {error}")


def _tell(line: str) -> None:
    """Print a line at once, for whoever waits for it."""
    print(line, flush=True)
