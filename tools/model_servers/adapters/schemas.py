"""JSON Schemas: values checked against ``schemas/``, more strictly than elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Any

import jsonschema

from model_servers.adapters import bundled
from model_servers.adapters.explanations import explain
from model_servers.core.findings import Code

SCHEMA_NUMBER = 1
"""The newest number that this version of the tool knows, for every document."""


_FAULTS_MAX = 1_000
"""Each takes a moment to explain, and a hostile document has millions."""


def violations(data: Any, *, schema: str) -> list[tuple[Code, str, str, str]]:
    """Check a value against a schema: (code, place, message, fix) for each fault.

    Of very many, the first are told.
    A document for a newer version of the tool gets that one answer and no other.
    """
    number = data.get("schema") if isinstance(data, Mapping) else None
    if type(number) is int and number > SCHEMA_NUMBER and schema != "model-config":
        return [
            (
                Code.TOO_NEW,
                "schema",
                f"schema is {number}; this version reads up to {SCHEMA_NUMBER}",
                "install a newer model-servers",
            )
        ]
    errors = islice(_validator(schema).iter_errors(data), _FAULTS_MAX)
    return [
        (Code.SHAPE, *fault)
        for error in sorted(errors, key=_order)
        for fault in explain(error)
    ]


def all_schemas() -> dict[str, dict[str, Any]]:
    """Give every schema, by name."""
    files = bundled.schemas().glob("*.schema.json")
    names = sorted(file.name.removesuffix(".schema.json") for file in files)
    return {name: _schema(name) for name in names}


def _schema(name: str) -> dict[str, Any]:
    path = bundled.schemas() / f"{name}.schema.json"
    schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return schema


@cache
def _validator(name: str) -> Any:
    schema = _schema(name)
    return _STRICT(schema, format_checker=jsonschema.FormatChecker(["date"]))


def _pattern(
    _: Any, pattern: str, instance: Any, __: Any
) -> Iterator[jsonschema.ValidationError]:
    """Match as ECMA-262 does, where ``$`` is not before a last line feed too."""
    if isinstance(instance, str) and not _compiled(pattern).search(instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\$(?=\)|$)", r"\\Z", pattern))


def _is_whole(_: Any, instance: Any) -> bool:
    """4.0 is no integer to TorchServe, which would silently ignore the setting."""
    return isinstance(instance, int) and not isinstance(instance, bool)


_STRICT = jsonschema.validators.extend(  # type: ignore[no-untyped-call]  # as it is
    jsonschema.Draft202012Validator,
    validators={"pattern": _pattern},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", _is_whole
    ),
)


def _order(error: jsonschema.ValidationError) -> tuple[list[str], str]:
    return [str(part) for part in error.absolute_path], str(error.validator)
