"""docs/configuration.md, from the schemas. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_OPENING = """\
# Configuration

Every document and every key, with its type, unit, default and an example. `make docs`
writes this page from `schemas/`, which editors can use too
([how](architecture.md#documents)). YAML is read strictly: an unknown key is an error,
versions are quoted, and every document but TorchServe's own starts with `schema: 1`."""

_ORDER = ("model", "model-config", "golden", "channels", "lifecycle", "sync")
"""What people write comes before what the tool writes."""

_WORDS = {
    "array": "list",
    "boolean": "true or false",
    "object": "mapping",
    "string": "text",
    "null": "null",
}
_UNBOUNDED = {2**31 - 1, 2**63 - 1}
"""What a field of this size can hold is no news to anybody."""

_EXAMPLE_MAX_CHARACTERS = 60


def page(schemas: Mapping[str, Schema]) -> str:
    """Write the page, from schemas by name."""
    ordered = [name for name in _ORDER if name in schemas]
    names = [*ordered, *sorted(schemas.keys() - set(ordered))]
    contents = "\n".join(
        f"- [`{schemas[name]['title']}`](#{name}): {schemas[name]['description']}"
        for name in names
    )
    sections = ["\n\n".join(_section(name, schemas[name])) for name in names]
    return "\n\n".join([_OPENING, contents, *sections]) + "\n"


def _section(name: str, schema: Schema) -> Iterator[str]:
    yield f'<a id="{name}"></a>'
    yield f"## {_text(schema['title'])}"
    yield f"{schema['description']} Schema: `schemas/{name}.schema.json`."
    rows = "\n".join(_rows(schema, ""))
    yield (
        "| key | what it is | value | default | example |\n"
        f"| --- | --- | --- | --- | --- |\n{rows}"
    )
    rules = list(dict.fromkeys(_rules(schema)))
    if rules:
        yield "What goes together:"
        yield "\n".join(f"- {_text(rule)}" for rule in rules)


def _rows(schema: Schema, place: str) -> Iterator[str]:
    """Yield a row for every key below a schema, the outer before the inner."""
    required = schema.get("required", ())
    for key, inner in schema.get("properties", {}).items():
        yield _row(inner, f"{place}{key}", is_required=key in required)
        yield from _rows(inner, f"{place}{key}.")
        yield from _item_rows(inner, f"{place}{key}")
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping):
        inside = f"{place}NAME"
        yield _row(others, inside, is_required=False)
        yield from _rows(others, f"{inside}.")


def _item_rows(schema: Schema, place: str) -> Iterator[str]:
    items = schema.get("items")
    if isinstance(items, Mapping) and ("properties" in items):
        yield from _rows(items, f"{place}[].")


def _row(schema: Schema, place: str, *, is_required: bool) -> str:
    cells = (
        f"`{place}`" + (", required" if is_required else ""),
        _text(schema.get("description", "")),
        _value(schema),
        _code(schema["default"]) if "default" in schema else "",
        _example(schema),
    )
    return "| " + " | ".join(cells) + " |"


def _value(schema: Schema) -> str:
    if "const" in schema:
        return _code(schema["const"])
    if "enum" in schema:
        return ", ".join(_code(one) for one in schema["enum"])
    kinds = schema.get("type", "anything")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    told = " or ".join(_WORDS.get(kind, kind) for kind in kinds)
    bounds = [
        f"{word} {schema[bound]:g}"
        for bound, word in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
        )
        if bound in schema and schema[bound] not in _UNBOUNDED
    ]
    unit = [schema["unit"]] if "unit" in schema else []
    return ", ".join([told, *unit, *bounds])


def _example(schema: Schema) -> str:
    for example in schema.get("examples", ()):
        text = _code(example)
        if len(text) <= _EXAMPLE_MAX_CHARACTERS:
            return text
    return ""


def _rules(schema: Any) -> Iterator[str]:
    """Yield what a schema says of several keys together."""
    if not isinstance(schema, Mapping):
        return
    for conditions in (schema.get("dependentSchemas", {}), schema.get("allOf", ())):
        yield from _messages(conditions)
    for inner in schema.get("properties", {}).values():
        yield from _rules(inner)
    yield from _rules(schema.get("items"))
    yield from _rules(schema.get("additionalProperties"))


def _messages(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "errorMessage" in value:
            yield value["errorMessage"]
        for inner in value.values():
            yield from _messages(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _messages(inner)


def _code(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`".replace("|", "\\|")


def _text(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
