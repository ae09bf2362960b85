"""docs/cli.md and docs/configuration.md say what the parser and the schemas say."""

import json
import re
from pathlib import Path

import pytest

from model_servers.cli import reference, wire
from model_servers.cli.parser import parser
from model_servers.errors import ExitStatus

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = reference.pages(wire.schemas())


@pytest.mark.parametrize("name", PAGES)
def test_the_document_is_current(name):
    text = (DOCS / name).read_text("utf-8")

    assert text == PAGES[name], f"docs/{name} is not current: run `make docs`"


HEADINGS = re.findall(r"^## `ms (.*)`$", PAGES["cli.md"], re.MULTILINE)


def test_every_command_that_help_lists_has_a_section():
    listed = re.findall(r"^    ([a-z]+)", parser().format_help(), re.MULTILINE)

    assert listed == list(dict.fromkeys(one.split()[0] for one in HEADINGS))


@pytest.mark.parametrize("command", HEADINGS)
def test_every_section_is_of_a_command_that_can_be_run(command, capsys):
    with pytest.raises(SystemExit) as end:
        parser().parse_args([*command.split(), "--help"])

    assert end.value.code == 0
    shown = capsys.readouterr().out
    section = PAGES["cli.md"].split(f"## `ms {command}`\n")[1].split("\n## ")[0]
    told = set(re.findall(r"`(--[a-z_-]+)", section))
    listed = re.findall(r"^  (?:-\w(?: \S+)?, )?(--[a-z_-]+)", shown, re.MULTILINE)
    assert told >= {*listed} - {"--help"}


def test_every_end_of_a_command_is_explained():
    statuses = re.findall(r"^\| (\d+) \|", PAGES["cli.md"], re.MULTILINE)

    assert {int(one) for one in statuses} == {*map(int, ExitStatus), 130, 141}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "schemas").iterdir()), ids=lambda p: p.name
)
def test_every_key_of_every_schema_has_a_row(path):
    schema = json.loads(path.read_text("utf-8"))
    section = (
        PAGES["configuration.md"].split(f"schemas/{path.name}`")[1].split("<a id")[0]
    )
    told = re.findall(r"^\| `([^`]*)`", section, re.MULTILINE)

    assert {one.rpartition(".")[2] for one in told} >= set(keys(schema))
    assert len(told) == len(set(told))


def keys(schema):
    for key, inner in schema.get("properties", {}).items():
        yield key
        yield from keys(inner)
        yield from keys(inner.get("items", {}))


def test_units_and_bounds_and_defaults_are_told():
    page = PAGES["configuration.md"]

    assert "| integer, milliseconds, at least 1 | `100` | `5` |" in page
    assert "- minWorkers needs maxWorkers beside it" in page


def test_the_pages_do_not_depend_on_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")

    assert reference.commands_page() == PAGES["cli.md"]
