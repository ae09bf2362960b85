"""The handler's files import one way, and what is pure comes first."""

import ast
from pathlib import Path

import pytest

import model_servers_handler

PACKAGE = Path(model_servers_handler.__file__).parent

PURE = (
    "errors",
    "tensors",
    "json_text",
    "formats",
    "requests",
    "batches",
    "answers",
    "options",
)
EFFECTS = (
    "wire",
    "devices",
    "checkpoints",
    "files",
    "functions",
    "answering",
    "loading",
)
ORDER = (*PURE, *EFFECTS)
"""Each part imports only parts before it; `base_handler` stands after all."""

WITHOUT_EFFECTS = {
    "__future__",
    "array",
    "collections",
    "contextlib",
    "dataclasses",
    "difflib",
    "fnmatch",
    "functools",
    "http",
    "traceback",
    "inspect",
    "io",
    "itertools",
    "json",
    "logging",
    "math",
    "sys",  # sys.modules tells whether torch is there
    "typing",
}
ASKED_FOR = {"numpy", "orjson", "PIL", "torch"}
"""What is imported inside functions, where it is there."""


def imported(path: Path) -> set[str]:
    """Give the dotted modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_every_part_has_its_place() -> None:
    assert {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"} == {
        "__init__",
        *ORDER,
    }


@pytest.mark.parametrize("part", ORDER)
def test_a_part_imports_only_parts_before_it(part: str) -> None:
    before = {f"{PACKAGE.name}.{name}" for name in ORDER[: ORDER.index(part)]}

    found = imported(PACKAGE / f"{part}.py")

    ours = {name for name in found if name.startswith((PACKAGE.name, "base_handler"))}
    assert ours <= before


@pytest.mark.parametrize("part", PURE)
def test_a_pure_part_imports_nothing_that_has_effects(part: str) -> None:
    found = {name.split(".")[0] for name in imported(PACKAGE / f"{part}.py")}

    assert found <= {*WITHOUT_EFFECTS, *ASKED_FOR, PACKAGE.name}


@pytest.mark.parametrize("part", ORDER)
def test_a_part_can_be_read_in_a_sitting(part: str) -> None:
    assert len((PACKAGE / f"{part}.py").read_text("utf-8").splitlines()) <= 350
