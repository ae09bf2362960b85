"""Rules about Python: the model file, and the names of modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TypeGuard

from model_servers.core.findings import Code, Finding
from model_servers.core.layout import HandlerFile, ManifestFile, unpacked
from model_servers.core.modules import known_as
from model_servers.core.rules.subject import Subject

_MODULE_ENDINGS = (".py", ".so")


def handler(subject: Subject) -> Iterator[Finding]:
    """The model file is Python, and makes a handler."""
    path, syntax = subject.spec.build.model_file, subject.syntax
    if subject.contribution.model_source is None:
        return
    if isinstance(syntax, Exception):
        yield subject.in_file(
            Code.NO_HANDLER,
            "the model file is not Python: "
            + (str(getattr(syntax, "msg", syntax)) or "it is nested too deeply"),
            path=path,
            line=getattr(syntax, "lineno", None),
            fix="correct the syntax",
        )
    elif not any(calls_factory(node) for node in ast.walk(syntax)):
        yield subject.in_file(
            Code.NO_HANDLER,
            "the model file never calls handler_factory",
            path=path,
            fix="end it with `handler = handler_factory(init_function=init_function)`",
        )


def calls_factory(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether it is a call of ``handler_factory``."""
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "id", getattr(node.func, "attr", None))
    return name == "handler_factory"


def shadowed(subject: Subject) -> Iterator[Finding]:
    """No module of the archive hides one that others import."""
    for path, module in sorted(set(_modules(subject))):
        owner = known_as(module)
        if owner is not None:
            yield subject.in_file(
                Code.SHADOWED,
                f"in the archive {path!r} hides the module {module} of {owner}",
                path=path,
                fix="rename it, and what imports it",
            )


def _modules(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield each file that makes a name importable, with that name.

    A directory without ``__init__.py`` hides nothing: Python prefers any other
    module of its name.
    """
    for member in subject.members:
        if isinstance(member.source, HandlerFile | ManifestFile):
            continue
        for path in unpacked(member):
            top, _, inner = path.partition("/")
            source = getattr(member.source, "path", path)
            if inner == "__init__.py":
                yield source, top
            elif _is_module(path):
                yield source, top.partition(".")[0]


def _is_module(path: str) -> bool:
    is_top = "/" not in path and path.endswith(_MODULE_ENDINGS)
    return is_top and path != "base_handler.py"  # a second one is a collision
