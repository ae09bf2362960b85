"""docs/cli.md, from the parser, and docs/configuration.md, from the schemas.

``make docs`` writes them: ``python -m model_servers.cli.reference docs``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model_servers.cli import configuration, settings, wire
from model_servers.cli.parser import parser

_COMMANDS_OPENING = """\
# The command line

Every command of `ms`, with all its options. `make docs` writes this page from
`tools/model_servers/cli/parser.py`; `ms COMMAND --help` tells the same.

Messages and progress go to standard error, results to standard output; `--json` is for
programs. Flags come before variables, and those before what is built in."""

_STATUSES = """\
## Exit statuses

| status | meaning |
| --- | --- |
| 0 | done, or nothing to do |
| 1 | findings: the contribution is wrong |
| 2 | usage: something impossible was asked |
| 3 | the outside failed: store, TorchServe, NVML or disk; a retry may help |
| 4 | refused by a safety rule: a person must decide |
| 5 | changes are pending (only `ms sync plan --exit-code`) |
| 70 | a bug in `ms`, with a traceback |
| 130 | interrupted; the same command goes on |
| 141 | cut off, as whoever read its answer has gone |"""

_VARIABLES = f"""\
## Environment variables

| variable | instead of | without both |
| --- | --- | --- |
| `{settings.REGISTRY}` | `--registry` | `registry` |
| `{settings.STORE}` | `--store` | no store |
| `{settings.ENDPOINT_URL}` | `--endpoint-url` | Amazon's own |
| `{settings.PROFILE}` | `--profile` | `sync.yaml` |
| `{settings.WORK}` | `--work` | `.work` |

Credentials of a store in S3 come from the standard AWS chain."""


def commands_page() -> str:
    """Write docs/cli.md."""
    found = dict(_commands(parser()))
    listed = "\n".join(
        f"| [`{name}`](#{_anchor(name)}) | {_cell(each.description or '')} |"
        for name, each in found.items()
    )
    overview = f"| command | what it does |\n| --- | --- |\n{listed}"
    sections = ["\n\n".join(_section(*one)) for one in found.items()]
    return (
        "\n\n".join(
            [_COMMANDS_OPENING, overview, *sections, _VARIABLES, _STATUSES, ""]
        ).rstrip("\n")
        + "\n"
    )


def _commands(
    each: argparse.ArgumentParser,
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command that does something, by its name."""
    groups = [
        action
        for action in each._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    if not groups:
        yield each.prog, each
    for group in groups:
        for command in group.choices.values():
            yield from _commands(command)


def _section(name: str, command: argparse.ArgumentParser) -> Iterator[str]:
    shown = [
        action
        for action in command._actions
        if not isinstance(action, argparse._HelpAction)
    ]
    yield f"## `{name}`"
    yield f"{_sentence(command.description or '')}"
    positional = " ".join(_positional(one) for one in shown if not one.option_strings)
    yield f"```text\n{name} [OPTIONS] {positional}".rstrip() + "\n```"
    if shown:
        rows = "\n".join(_row(action) for action in shown)
        yield f"| argument | what it is |\n| --- | --- |\n{rows}"
    for group in command._mutually_exclusive_groups:
        names = " or ".join(
            f"`{one.option_strings[-1]}`" for one in group._group_actions
        )
        yield f"{'One of' if group.required else 'At most one of'} {names}."


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest)
    return {"*": f"[{name} ...]", "+": f"{name} [{name} ...]"}.get(
        str(action.nargs), name
    )


def _row(action: argparse.Action) -> str:
    text = (action.help or "") % {**vars(action), "prog": "ms"}
    if action.required and action.option_strings:
        text = f"**required**; {text}"
    return f"| {_flags(action)} | {_cell(text)} |"


def _flags(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`"
    value = ""
    if action.nargs != 0:
        choices = "|".join(map(str, action.choices or ()))
        value = f" {choices or action.metavar or action.dest.upper()}"
    return ", ".join(f"`{one}{_cell(value)}`" for one in action.option_strings)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _anchor(heading: str) -> str:
    return heading.replace(" ", "-")


def pages(schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Give the documents by the names of their files."""
    return {"cli.md": commands_page(), "configuration.md": configuration.page(schemas)}


def main() -> None:
    """Write the documents into the folder that is named."""
    for name, text in pages(wire.schemas()).items():
        Path(sys.argv[1], name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
