"""Imports point inwards, and each outside thing is known in one place."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import model_servers

PACKAGE = Path(model_servers.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
HANDLER = PACKAGE.parents[1] / "handler"

MAY_IMPORT = {
    "": set(),
    "errors": set(),
    "interruption": set(),
    "core": {"core"},
    "ports": {"core", "ports"},
    "adapters": {"", "adapters", "core", "errors", "interruption", "ports"},
    "journeys": {"core", "errors", "interruption", "journeys", "ports"},
    "cli": {
        *("", "errors", "interruption"),
        *("core", "ports", "adapters", "journeys", "cli"),
    },
    "__main__": {"cli"},
}
"""What each layer may know of ours; the empty name is the package itself."""

PURE = {
    "__future__",
    "ast",
    "collections",
    "contextlib",
    "dataclasses",
    "difflib",
    "enum",
    "functools",
    "hashlib",
    "itertools",
    "json",
    "math",
    "posixpath",
    "re",
    "shlex",
    "textwrap",
    "types",
    "typing",
    "typing_extensions",  # under TYPE_CHECKING
}
"""What the core may know of the standard library: nothing that has effects."""

HOME = {
    "blake3": {"adapters/segment_digests.py"},
    # S3 is one outside thing: its objects, large ones in parts, its errors.
    "boto3": {"adapters/s3_store.py", "adapters/s3_errors.py"},
    "botocore": {  # boto3 speaks in its errors
        "adapters/s3_errors.py",
        "adapters/s3_store.py",
        "adapters/s3_reading.py",
        "adapters/s3_transfer.py",
    },
    "jinja2": {"adapters/site_pages.py"},
    "jsonschema": {"adapters/schemas.py"},
    "markdown_it": {"adapters/markdown.py"},
    # A program of its own, in whose process the shared handler loads a model.
    "model_servers_handler": {"adapters/probed_process.py"},
    "mypy_boto3_s3": {  # under TYPE_CHECKING
        "adapters/s3_store.py",
        "adapters/s3_reading.py",
        "adapters/s3_transfer.py",
    },
    "nh3": {"adapters/markdown.py"},
    "pynvml": {"adapters/nvml.py"},
    "torch": {"adapters/probed_process.py"},
    "tqdm": {"cli/watch.py"},
    # TorchServe is one outside thing: its API, and the process that answers.
    "urllib3": {
        "adapters/s3_errors.py",  # botocore lets its errors through
        "adapters/host_machine.py",
        "adapters/torchserve_api.py",
        "adapters/torchserve_process.py",
    },
    "yaml": {"adapters/strict_yaml.py"},
}
"""The only modules that import each third-party package."""

WRITERS = {"print", "sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}


def name(path):
    return path.relative_to(PACKAGE).as_posix()


def layer(path):
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path):
    """Yield the dotted name of everything that a module imports, anywhere in it."""
    for node in ast.walk(tree(path)):
        yield from imported_by(node)


def imported_by(node):
    if isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)


def ours(path):
    """Give the layers that a module imports."""
    for found in imported(path):
        package, _, rest = found.partition(".")
        if package == "model_servers":
            is_layer = rest.split(".")[0] in MAY_IMPORT
            yield rest.split(".")[0] if is_layer else ""


def foreign(path):
    return {found.split(".")[0] for found in imported(path)} - {"model_servers"}


def third_party(path):
    return foreign(path) - sys.stdlib_module_names


def each(*layers):
    """Parametrize over the modules of some layers, or of all."""
    modules = [path for path in MODULES if not layers or layer(path) in layers]
    return pytest.mark.parametrize("path", modules, ids=name)


@each()
def test_imports_point_inwards(path):
    assert set(ours(path)) <= MAY_IMPORT[layer(path)]


@each("core")
def test_the_core_has_no_effects(path):
    assert foreign(path) <= PURE


@each("core")
def test_the_core_does_not_read_files_or_ask_anybody(path):
    called = {
        node.func.id
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert called.isdisjoint({"open", "input", "print", "exec", "eval", "__import__"})


@each()
def test_a_third_party_package_is_known_in_its_home_only(path):
    strangers = {
        package
        for package in third_party(path) - PURE
        if name(path) not in HOME.get(package, set())
    }

    assert strangers == set()


@each("errors", "interruption", "core", "ports", "journeys")
def test_only_adapters_and_the_cli_know_other_packages(path):
    assert third_party(path) <= {"typing_extensions"}


@each("errors", "interruption", "core", "ports", "adapters", "journeys")
def test_nothing_but_the_cli_prints(path):
    used = {
        ast.unparse(node)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name | ast.Attribute)
    }

    assert used.isdisjoint(WRITERS)


@each("cli")
def test_only_the_wiring_makes_adapters(path):
    is_maker = name(path).startswith("cli/wire/")

    assert is_maker or "adapters" not in set(ours(path))


def loaded(call):
    """Name the modules that are loaded once the parser has been made."""
    program = (
        f"import sys; import model_servers.cli.main; "
        f"from model_servers.cli.parser import parser; {call}; print(*sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(told.stdout.split())


def test_ms_help_loads_no_client_of_anything_slow():
    slow = {"boto3", "botocore", "jinja2", "jsonschema", "pynvml", "torch", "yaml"}

    assert slow.isdisjoint(loaded("parser()"))


def test_a_command_does_not_wait_for_what_others_need():
    found = loaded("parser(['fetch', '--help'])")

    assert "model_servers.cli.fetch" in found
    assert not [one for one in found if one.startswith("model_servers.cli.init")]
    assert not [one for one in found if one.startswith("model_servers.core.rules")]


@each()
def test_there_are_no_relative_imports(path):
    levels = {n.level for n in ast.walk(tree(path)) if isinstance(n, ast.ImportFrom)}

    assert levels <= {0}


@pytest.mark.parametrize("path", sorted(HANDLER.rglob("*.py")), ids=lambda p: p.stem)
def test_the_shared_handler_needs_nothing_to_be_imported(path):
    """In a worker nothing of ours is installed, and not every package is there."""
    kinds = (ast.Import, ast.ImportFrom)
    at_the_top = [node for node in tree(path).body if isinstance(node, kinds)]

    names = {name.split(".")[0] for node in at_the_top for name in imported_by(node)}
    assert names <= {*sys.stdlib_module_names, "model_servers_handler"}
    assert {"model_servers", "ts"}.isdisjoint(
        {found.split(".")[0] for found in imported(path)}
    )


def test_every_module_is_in_a_layer():
    assert {layer(path) for path in MODULES} == MAY_IMPORT.keys()
