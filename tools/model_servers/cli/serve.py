"""``ms serve``: one model as it is, and again after every edit."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import flags, render, wire
from model_servers.cli.golden import how_to_add, unservable
from model_servers.cli.watch import say
from model_servers.errors import ExitStatus, ModelServersError, OutsideError
from model_servers.journeys.live import Live
from model_servers.journeys.workbench import golden_cases

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings
    from model_servers.core.golden import Request

_POLL_S = 0.5
_MAX_PASTED_BYTES = 2000
"""A longer body is no pleasure in a terminal, and the shell takes 128 KiB at most."""


def add(commands: Commands) -> None:
    """Add the arguments of ``ms serve``."""
    command = flags.command(
        commands,
        "serve",
        serve,
        "serve a model as it is, and again after every edit",
    )
    flags.model(command)
    flags.registry(command)
    flags.torchserve(command)


def serve(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Serve a model until Ctrl-C."""
    name = options.model
    findings = unservable(name, settings)
    if findings:
        print(render.findings_text(findings, models=1))
        return ExitStatus.FINDINGS
    folder = settings.work / "serve" / name
    try:
        seen = wire.stamp(settings, name)
        with wire.workbench(options, folder) as (bench, addresses):
            say(f"TorchServe listens at {addresses.inference}; loading {name}")
            live = Live.start(bench, wire.build(settings), name)
            url = f"{addresses.inference}/predictions/{name}"
            for line in curl_lines(settings, name, url, folder / "requests"):
                print(line, flush=True)
            say(f"{live.ref} answers; edits of its files are served, Ctrl-C ends it")
            watch = Watch(
                live=live,
                settings=settings,
                logs=folder / "logs",
                ended=addresses.ended,
            )
            watch.follow(seen)
    except KeyboardInterrupt:
        say("stopped; nothing is left running")
    return ExitStatus.DONE


def curl_lines(
    settings: Settings, name: str, url: str, requests: Path
) -> Iterator[str]:
    """Yield a command for each golden case, ready to paste anywhere.

    Args:
        settings: of the registry.
        name: of the model.
        url: of its predictions.
        requests: a folder for the bodies that are too long to paste.
    """
    registry = wire.registry(settings)
    documents = {document.path: document for document in registry.read(name).golden}
    for path, case in golden_cases(registry, name).items():
        file = documents[path].data["request"].get("file")
        if file is not None:
            body = registry.path(name, path).parent / file
        elif len(case.request.body) > _MAX_PASTED_BYTES:
            body = _kept(requests / case.name, case.request.body)
        else:
            body = None
        yield f"# {case.name}"
        yield curl(case.request, url, file=body)
    if not documents:
        yield f"# no golden case to show a request of; {how_to_add(name)}"
        yield f"curl -H 'Content-Type: application/json' --data-raw '[1, 2]' {url}"


def curl(request: Request, url: str, *, file: Path | None) -> str:
    """Write a request as a command: its body inline, or from a file."""
    if file is None:
        body = f"--data-raw {shlex.quote(request.body.decode())}"
    else:
        body = f"--data-binary {shlex.quote(f'@{file.absolute()}')}"
    header = shlex.quote(f"Content-Type: {request.content_type}")
    return f"curl -H {header} {body} {url}"


def _kept(file: Path, body: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(body)
    return file


@dataclass(kw_only=True)
class Watch:
    """Looks for edits of a served model."""

    live: Live
    settings: Settings
    logs: Path
    ended: Callable[[], str]
    is_behind: bool = False
    """The last edit is not what is served."""

    def follow(self, seen: object) -> None:
        """Serve what each edit makes of the model, until TorchServe ends."""
        found = seen
        while not (ended := self.ended()):
            time.sleep(_POLL_S)
            before, found = found, wire.stamp(self.settings, self.live.ref.name)
            # Seen twice the same, nobody is in the middle of writing it.
            if found == before and found != seen:
                seen = found
                self._serve_edit()
        raise OutsideError(
            ended,
            hint=f"read {self.logs}; `ms serve {self.live.ref.name}` starts it again",
        )

    def _serve_edit(self) -> None:
        name = self.live.ref.name
        try:
            findings = unservable(name, self.settings)
            if findings:
                self._refuse(render.findings_text(findings, models=1))
            elif self.live.reload(wire.build(self.settings)):
                self.is_behind = False
                say(f"the edit is served, here as {self.live.ref}")
            elif self.is_behind:
                self.is_behind = False
                say(f"the files are again what {self.live.ref} serves")
        except ModelServersError as error:
            self._refuse(f"{error}\n    fix: {error.hint or 'correct the model'}")
        except OSError as error:
            self._refuse(f"a file cannot be read: {error}")

    def _refuse(self, reason: str) -> None:
        self.is_behind = True
        say(
            f"the edit is not served; {self.live.ref} answers as before\n{reason}\n"
            "hint: correct the files and save; the next edit is tried at once"
        )
