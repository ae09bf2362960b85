"""Documents: strict YAML, JSON Schema, and findings that say where and what to do.

Strict means: no duplicate keys, no anchors, no key that is not text, no value that
YAML reads as something else than it looks like.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema
import yaml

from model_servers.adapters import bundled
from model_servers.core.contribution import Document
from model_servers.core.findings import Code, Finding

SCHEMA_NUMBER = 1
"""The newest number that this version of the tool knows, for every document."""

_MAX_CHARACTERS = 1_000_000


class UnreadableError(Exception):
    """The text is not a document; it says where."""

    def __init__(
        self, message: str, *, line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(message)
        self.line, self.column = line, column


def parse(text: str) -> tuple[Any, dict[str, tuple[int, int]]]:
    """Read YAML strictly.

    Returns:
        The value, and the line and column (from 1) of every place in it: the
        empty text is the document, ``build.extra_files[2]`` an item.

    Raises:
        UnreadableError: the text is not YAML, or not plain enough.
    """
    if len(text) > _MAX_CHARACTERS:
        raise UnreadableError(
            f"the document has {len(text)} characters; at most {_MAX_CHARACTERS} "
            "are read"
        )
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return None, {"": (1, 1)}
        reader = _Reader()
        return reader.value(root, ""), reader.places
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableError(
            str(error.problem or error.context or "it is not YAML"),
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from error
    except yaml.YAMLError as error:  # an unprintable character, with no mark
        raise UnreadableError(str(error).splitlines()[0]) from error
    except RecursionError as error:
        raise UnreadableError("it is nested too deeply") from error
    except (ValueError, OverflowError) as error:
        # PyYAML hands on what chr() says of "\\U00110000" and int() of a long %YAML.
        raise UnreadableError(f"it is not YAML: {error}") from error
    finally:
        _SCALARS.constructed_objects.clear()  # or every document would stay in memory


def load(
    text: str, *, schema: str, path: str, shown_as: str
) -> tuple[Document | None, list[Finding]]:
    """Read one document and check it against its schema.

    Args:
        text: of the file.
        schema: its name, such as ``model``.
        path: relative to the model's directory, for the document.
        shown_as: the path that findings name.

    Returns:
        The document, or None and what is wrong with it: all of it.
    """
    try:
        data, places = parse(text)
    except UnreadableError as error:
        return None, [
            Finding(
                path=shown_as,
                line=error.line,
                column=error.column,
                code=Code.UNREADABLE,
                message=str(error),
                fix="correct the YAML",
            )
        ]
    findings = [
        Finding(
            path=shown_as,
            where=where,
            line=_place(places, where)[0],
            column=_place(places, where)[1],
            code=code,
            message=message,
            fix=fix,
        )
        for code, where, message, fix in violations(data, schema=schema)
    ]
    if findings:
        return None, findings
    return Document(path=path, data=data, places=places), []


def violations(data: Any, *, schema: str) -> list[tuple[Code, str, str, str]]:
    """Check a value against a schema: (code, place, message, fix) for each fault.

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
    errors = sorted(_validator(schema).iter_errors(data), key=_order)
    return [
        (Code.SHAPE, where, message, fix)
        for error in errors
        for where, message, fix in _explain(error)
    ]


@cache
def _validator(name: str) -> Any:
    path = bundled.schemas() / f"{name}.schema.json"
    return _STRICT(json.loads(path.read_text("utf-8")))


def _pattern(
    _: Any, pattern: str, instance: Any, __: Any
) -> Iterator[jsonschema.ValidationError]:
    """Match as ECMA-262 does, where ``$`` is not before a last line feed too."""
    strict = re.sub(r"\$(?=\)|$)", r"\\Z", pattern)
    if isinstance(instance, str) and not re.search(strict, instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


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


def _order(error: jsonschema.ValidationError) -> list[str]:
    return [str(part) for part in error.absolute_path]


def _explain(error: jsonschema.ValidationError) -> Iterator[tuple[str, str, str]]:
    """Say what one schema error means: (place, message, fix)."""
    where = _join(error.absolute_path)
    schema: Any = error.schema
    value: Any = error.instance
    rule: Any = error.validator_value
    description = schema.get("description")
    expected = f"expected: {description}" if description else ""
    match error.validator:
        case "additionalProperties":
            known = list(schema.get("properties", {}))
            for key in sorted(value.keys() - set(known)):
                place = _join([*error.absolute_path, key])
                yield place, f"unknown key {key!r}", _did_you_mean(key, known)
        case "required":
            # One error comes for each missing key, and names it.
            key = next(key for key in rule if f"{key!r} is" in error.message)
            yield where, f"key {key!r} is missing", f"add `{key}:`"
        case "type":
            found = f"{_kind(value)} {_short(value)}"
            fix = (rule == "string" and _quote(value)) or expected
            yield where, f"found {found}, expected {_wanted(rule)}", fix
        case "enum":
            yield where, f"found {_short(value)}, expected one of {_short(rule)}", ""
        case "const":
            yield where, f"found {_short(value)}, expected {_short(rule)}", ""
        case "pattern":
            message = schema.get("errorMessage", "that is not allowed here")
            yield where, f"found {_short(value)}; {message}", expected
        case _:
            yield where, schema.get("errorMessage") or _limit(error.message), expected


def _quote(value: Any) -> str:
    """Say how a bare word or number becomes text; ``1.10`` has been read as 1.1."""
    match value:
        case bool() | float():
            return "quote it, as it is written"
        case int():
            return f'quote it: "{value}"'
        case _:
            return ""


def _did_you_mean(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known keys: " + ", ".join(known)


_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


def _wanted(types: Any) -> str:
    names = [types] if isinstance(types, str) else types
    return " or ".join(_KINDS[name] for name in names)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing,"
        case bool():
            return "the boolean"
        case int() | float():
            return "the number"
        case str():
            return "the text"
        case list():
            return "the list"
        case _:
            return "the mapping"


def _short(value: Any) -> str:
    return _limit(json.dumps(value, default=str, ensure_ascii=False))


def _limit(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


def _place(places: Mapping[str, tuple[int, int]], where: str) -> tuple[int, int]:
    """Find a place, or the nearest one around it that the document has."""
    while where not in places and where:
        where = where[: max(where.rfind("."), where.rfind("["), 0)]
    return places.get(where, (1, 1))


def _join(parts: Any) -> str:
    place = ""
    for part in parts:
        if isinstance(part, int):
            place += f"[{part}]"
        else:
            place += f".{part}" if place else str(part)
    return place


class _Reader:
    """Turns YAML nodes into values and remembers where each one stood."""

    def __init__(self) -> None:
        self.places: dict[str, tuple[int, int]] = {}
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, place: str) -> Any:
        """Give the value of *node*, which stands at *place*."""
        self.places.setdefault(place, _mark(node))
        if id(node) in self._seen:  # one alias in another makes a document explode
            raise _unreadable("aliases are not read; write the value out", node)
        self._seen.add(id(node))
        _refuse_tag(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(item, f"{place}[{i}]") for i, item in enumerate(node.value)
            ]
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, place: str) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            if key in mapping:
                raise _unreadable(f"the key {key!r} is there twice", key_node)
            inner = f"{place}.{key}" if place else key
            self.places[inner] = _mark(key_node)
            mapping[key] = self.value(value_node, inner)
        return mapping


def _key(node: yaml.Node) -> str:
    _refuse_tag(node)
    key = _scalar(node) if isinstance(node, yaml.ScalarNode) else None
    if not isinstance(key, str):
        shown = node.value if isinstance(node, yaml.ScalarNode) else "a collection"
        raise _unreadable(f"the key {shown} is not text; quote it", node)
    return key


def _scalar(node: yaml.Node) -> Any:
    """Give a scalar as YAML 1.1 types it, unless it looks like something else."""
    text = str(node.value)
    kind = node.tag.removeprefix("tag:yaml.org,2002:")
    if kind not in _PLAIN_KINDS:
        raise _unreadable(f"{text!r} is a {kind} in YAML; quote it", node)
    if kind == "str" and not _is_quoted(node) and _EXPONENT.fullmatch(text):
        raise _unreadable(
            f"{text} is text in YAML, not a number; write it like 1.0e-5", node
        )
    if kind == "bool" and text.lower() not in {"true", "false"}:
        raise _unreadable(
            f"the bare word {text} is a boolean in YAML; quote it, or write true or "
            "false",
            node,
        )
    if (kind == "int" and not _DECIMAL.fullmatch(text)) or (
        kind == "float" and not _SEPARATORS.isdisjoint(text)
    ):
        raise _unreadable(
            f"the number {text} is not plain decimal; quote it, or write it without "
            "leading zero, base or separator",
            node,
        )
    if _HALF_CHARACTER.search(text):
        raise _unreadable("half of a surrogate pair is no character", node)
    try:
        value = _SCALARS.construct_object(node)
    except ValueError as error:
        raise _unreadable(str(error), node) from error
    if isinstance(value, float) and not math.isfinite(value):
        raise _unreadable(f"{text} is not a finite number", node)
    return value


def _refuse_tag(node: yaml.Node) -> None:
    """Raise if a tag makes *node* something else than it looks like."""
    looks = (not _is_quoted(node), _is_quoted(node))
    untagged = _RESOLVER.resolve(  # type: ignore[no-untyped-call]  # as PyYAML has it
        type(node), node.value, looks
    )
    if node.tag != untagged:
        raise _unreadable(f"the tag {node.tag} is not read; leave it out", node)


def _is_quoted(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is not None


def _unreadable(message: str, node: yaml.Node) -> UnreadableError:
    line, column = _mark(node)
    return UnreadableError(message, line=line, column=column)


def _mark(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


_PLAIN_KINDS = {"str", "int", "float", "bool", "null"}
_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_SEPARATORS = frozenset("_:")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_RESOLVER = yaml.resolver.Resolver()
_SCALARS = yaml.constructor.SafeConstructor()
