"""docs/cli.md and docs/configuration.md say what the parser and the schemas say."""

import json
import re
from pathlib import Path

import pytest

from model_servers.cli import reference, wire
from model_servers.cli.main import _COMMANDS
from model_servers.errors import ExitStatus

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = reference.pages(wire.schemas())


@pytest.mark.parametrize("name", PAGES)
def test_the_document_is_current(name):
    text = (DOCS / name).read_text("utf-8")

    assert text == PAGES[name], f"docs/{name} is not current: run `make docs`"


def test_every_command_that_can_be_run_has_a_section():
    headings = re.findall(r"^## `ms (.*)`$", PAGES["cli.md"], re.MULTILINE)

    assert sorted(headings) == sorted(_COMMANDS)


def test_every_end_of_a_command_is_explained():
    statuses = re.findall(r"^\| (\d+) \|", PAGES["cli.md"], re.MULTILINE)

    assert {int(one) for one in statuses} == {*map(int, ExitStatus), 130}


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
