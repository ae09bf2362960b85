"""Every block of commands in the documents is run by a test, or says why it is not.

A block in a document names its language. Those of the language ``console`` are run by
``walk`` on the pages that a test walks through; every other block of commands has a
comment on the line above::

    <!-- run by tests/cli/test_chain.py, as ms demo -->
    <!-- needs: AWS -->
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from model_servers.cli.parser import parser

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
IDS = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]

COMMANDS = {"console", "sh"}
OTHERS = {"json", "mermaid", "properties", "python", "text", "yaml"}
NEEDS = {
    "AWS": "an account, a bucket and roles",
    "GitHub": "a repository there, and the rights of its administrator",
    "a host": "a machine that serves models, with its TorchServe and profile",
    "an installation": "what `make setup` fetches, which the tests already run in",
    "minutes": "a machine for itself, or the whole suite that would run itself",
}

_BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*) -->\n)?^```(?P<kind>[^\n`]*)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_WALKED = re.compile(r'walk\(\s*"([^"]+)"')
_INLINE = re.compile(r"`ms ([a-z][a-z-]*(?: [a-z]+)?)[^`]*`")


def commands_of(of):
    """Give the parsers of the commands that a parser knows, by name."""
    return next((one.choices for one in of._actions if one.dest == "==SUPPRESS=="), {})


@dataclass(frozen=True)
class Block:
    """A fenced block and the comment above it."""

    note: str
    kind: str
    text: str

    def commands(self):
        """Give the command lines, those that go on joined."""
        joined = self.text.replace("\\\n", " ")
        if self.kind == "console":
            return re.findall(r"^\$ (.*)$", joined, re.MULTILINE)
        return [line for line in joined.splitlines() if line.strip()]


def blocks(path):
    return [Block(**one.groupdict("")) for one in _BLOCK.finditer(path.read_text())]


def walked():
    """Find the pages that a test walks through."""
    for test in (ROOT / "tests" / "docs").glob("test_*.py"):
        for name in _WALKED.findall(test.read_text()):
            yield (ROOT / "docs" / name).resolve()


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_block_names_a_language_that_we_use(path):
    kinds = [block.kind for block in blocks(path)]

    assert path.read_text().count("\n```") == 2 * len(kinds)
    assert {*kinds} <= COMMANDS | OTHERS


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_block_of_commands_is_run_or_says_why_not(path):
    is_walked = path in walked()
    told = [
        block.commands()
        for block in blocks(path)
        if block.kind in COMMANDS
        and not (is_walked and block.kind == "console")
        and not is_marked(block.note)
    ]

    assert told == []


def is_marked(note):
    if note.startswith("run by "):
        return (ROOT / re.split(r"[ ,]", note)[2]).is_file()
    return note.startswith("needs: ") and note.removeprefix("needs: ") in NEEDS


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_command_of_ms_can_be_typed_as_it_stands(path):
    lines = [
        line.partition("| ")[0]
        for block in blocks(path)
        if block.kind in COMMANDS
        for line in block.commands()
        if line.startswith("ms ")
    ]

    for line in lines:
        parser().parse_args(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_every_command_of_ms_in_a_sentence_exists(path):
    told = {tuple(one.split()) for one in _INLINE.findall(path.read_text())}

    assert [one for one in sorted(told) if not exists(*one)] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_no_diagram_has_a_sign_that_ends_its_line_early(path):
    diagrams = [block.text for block in blocks(path) if block.kind == "mermaid"]

    assert [text for text in diagrams if ";" in text] == []


def exists(command, below=""):
    known = commands_of(parser())
    if command not in known:
        return False
    inner = commands_of(known[command])
    return not below or not inner or below in inner


def test_a_command_that_does_not_exist_is_seen():
    assert not exists("vaildate")
    assert not exists("sync", "plam")
    assert exists("sync", "plan")
