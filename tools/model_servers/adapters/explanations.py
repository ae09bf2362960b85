"""What a JSON Schema's error means to the person who wrote the document.

Two keywords of a schema are for here, and other validators pass over them:
``errorMessage`` says what is wrong where the rule itself would say it badly, and
``errorFix`` what to write instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from model_servers.core.spelling import did_you_mean, nearest

Fault = tuple[str, str, str]
"""The place in the document, what is wrong there, and how to mend it."""


def explain(error: Any) -> Iterator[Fault]:
    """Say what one error of a ``jsonschema`` validator means."""
    about = error.schema if isinstance(error.schema, Mapping) else {}
    where, fix = _where(error), _fix(about)
    match error.validator:
        case "additionalProperties":
            known = list(about.get("properties", {}))
            for key in sorted(error.instance.keys() - set(known)):
                place = _join([*error.absolute_path, key])
                yield (
                    place,
                    f"unknown key {key!r}",
                    did_you_mean(key, known, kind="keys"),
                )
        case "required":
            # One error comes for each missing key, and names it.
            key = next(
                key for key in error.validator_value if f"{key!r} is" in error.message
            )
            message = about.get("errorMessage", f"key {key!r} is missing")
            yield (
                where,
                message,
                about.get("errorFix", f"add `{key}:{_only(about, key)}`"),
            )
        case "type":
            yield where, _of_kind(error), _quoted(error) or fix
        case "enum":
            yield where, _message(error, about), _nearest(error) or fix
        case _:
            yield where, _message(error, about), fix


def _only(about: Mapping[str, Any], key: str) -> str:
    """Give the only value that a missing key can have, if there is one."""
    value = about.get("properties", {}).get(key, {}).get("const")
    return "" if value is None else f" {value}"


def _message(error: Any, about: Mapping[str, Any]) -> str:
    found = f"found {_short(error.instance)}"
    if "errorMessage" in about:
        message = str(about["errorMessage"])
        # A rule about one value shows it; of a rule between keys, the words do.
        return f"{found}; {message}" if error.validator in _OF_A_VALUE else message
    rule: Any = error.validator_value
    match error.validator:
        case "enum":
            return f"{found}, expected one of {_short(rule)}"
        case "const":
            return f"{found}, expected {_short(rule)}"
        case "uniqueItems":
            return f"{found}, expected every item once"
        case str(keyword) if keyword in _LIMITS:
            return _limit(error, keyword)
        case _:
            return f"{found}; that is not allowed here"


def _limit(error: Any, keyword: str) -> str:
    bound, unit = _LIMITS[keyword]
    found = f"{len(error.instance)}{unit}" if unit else _short(error.instance)
    unit = unit.rstrip("s") if error.validator_value == 1 else unit
    return f"found {found}, expected {bound} {error.validator_value}{unit}"


def _fix(about: Mapping[str, Any]) -> str:
    description = about.get("description")
    expected = f"expected: {description}" if description else ""
    return str(about.get("errorFix", expected))


def _of_kind(error: Any) -> str:
    kind = _kind(error.instance)
    found = kind if error.instance is None else f"{kind} {_short(error.instance)}"
    rule = error.validator_value
    names = [rule] if isinstance(rule, str) else rule
    return f"found {found}, expected " + " or ".join(_KINDS[name] for name in names)


def _quoted(error: Any) -> str:
    """Say how a bare word or number becomes text; ``1.10`` has been read as 1.1."""
    if "string" not in (error.validator_value, *error.validator_value):
        return ""
    match error.instance:
        case bool() | float():
            return "quote it, as it is written"
        case int(number):
            return f'quote it: "{number}"'
        case _:
            return ""


def _nearest(error: Any) -> str:
    allowed = [value for value in error.validator_value if isinstance(value, str)]
    near = nearest(error.instance, allowed) if isinstance(error.instance, str) else None
    return f"did you mean {near}?" if near else ""


def _where(error: Any) -> str:
    """Say where a person looks: at a wrong key, or at the key that asks for more."""
    path, rules = list(error.absolute_path), list(error.absolute_schema_path)
    if "propertyNames" in rules:
        path.append(error.instance)
    if "dependentSchemas" in rules:
        key, *inner = rules[rules.index("dependentSchemas") + 1 :]
        path += [] if "properties" in inner else [key]
    return _join(path)


_OF_A_VALUE = frozenset({"const", "enum", "format", "pattern"})

_LIMITS = {
    "minimum": ("at least", ""),
    "maximum": ("at most", ""),
    "minLength": ("at least", " characters"),
    "maxLength": ("at most", " characters"),
    "minItems": ("at least", " items"),
    "maxItems": ("at most", " items"),
    "minProperties": ("at least", " keys"),
}

_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
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
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _join(parts: Iterable[Any]) -> str:
    place = ""
    for part in parts:
        if isinstance(part, int):
            place += f"[{part}]"
        else:
            place += f".{part}" if place else str(part)
    return place
