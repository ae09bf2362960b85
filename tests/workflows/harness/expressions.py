"""GitHub's expressions, evaluated: alone, inside texts, and as conditions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from workflows.harness import syntax
from workflows.harness.syntax import Call, ExpressionError, Index, Literal, Name, Node
from workflows.harness.values import (
    Value,
    compare,
    equal,
    every,
    look_up,
    to_json,
    to_text,
    truthy,
)

Contexts = Mapping[str, Value]
Functions = Mapping[str, Callable[..., Value]]

STATUS = frozenset({"success", "failure", "always", "cancelled"})
"""Functions that replace the success that every condition asks for otherwise."""

_EMBEDDED = re.compile(r"\$\{\{((?:'(?:[^']|'')*'|[^'])*?)\}\}", re.DOTALL)
_PLACE = re.compile(r"\{\{|\}\}|\{(\d+)\}|[{}]")
_ORDER: Mapping[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def evaluate(text: str, contexts: Contexts, functions: Functions = None) -> Value:
    """Give the value of an expression.

    Raises:
        ExpressionError: it is none, or names a context or function that is not there.
    """
    if functions is None:
        functions = {}
    return _value(syntax.parse(text), contexts, {**_FUNCTIONS, **functions})


def interpolate(value: Any, contexts: Contexts, functions: Functions = None) -> Value:
    """Replace every ``${{ }}`` in a value of a document, however deep.

    A text that is one expression and nothing else becomes the expression's value.
    """
    if functions is None:
        functions = {}
    match value:
        case dict():
            return {
                key: interpolate(item, contexts, functions)
                for key, item in value.items()
            }
        case list():
            return [interpolate(item, contexts, functions) for item in value]
        case str():
            return _text(value, contexts, functions)
        case _:
            return value


def condition(text: Any, contexts: Contexts, functions: Functions) -> bool:
    """Say whether an ``if`` holds; without a status function, success is asked too."""
    expression = to_text(text).strip()
    whole = _whole(expression)
    node = syntax.parse(expression or "success()" if whole is None else whole)
    everything = {**_FUNCTIONS, **functions}
    if not STATUS & set(syntax.calls(node)) and not functions["success"]():
        return False
    return truthy(_value(node, contexts, everything))


def embedded(text: str) -> list[str]:
    """List the expressions in a text."""
    return [found.strip() for found in _EMBEDDED.findall(text)]


def _text(text: str, contexts: Contexts, functions: Functions) -> Value:
    whole = _whole(text)
    if whole is not None:
        return evaluate(whole, contexts, functions)
    return _EMBEDDED.sub(
        lambda found: to_text(evaluate(found[1], contexts, functions)), text
    )


def _whole(text: str) -> str | None:
    """Give the expression that is all of a text, if there is one."""
    first = _EMBEDDED.match(text.strip())
    return first[1] if first and first.end() == len(text.strip()) else None


def _value(node: Node, contexts: Contexts, functions: Functions) -> Value:
    match node:
        case Literal(value):
            return value
        case Name(name):
            if name.lower() not in contexts:
                raise ExpressionError(f"there is no context {name!r} here")
            return contexts[name.lower()]
        case Index(of, None):
            return every(_value(of, contexts, functions))
        case Index(of, key) if key is not None:
            return look_up(
                _value(of, contexts, functions), _value(key, contexts, functions)
            )
        case Call(function, arguments):
            if function.lower() not in functions:
                raise ExpressionError(f"there is no function {function!r} here")
            given = [_value(one, contexts, functions) for one in arguments]
            return functions[function.lower()](*given)
        case syntax.Operation(operator, operands):
            return _operation(operator, operands, contexts, functions)
    raise AssertionError(node)


def _operation(
    operator: str, operands: tuple[Node, ...], contexts: Contexts, functions: Functions
) -> Value:
    left = _value(operands[0], contexts, functions)
    if operator == "!":
        return not truthy(left)
    if operator in ("&&", "||"):
        is_decided = truthy(left) == (operator == "||")
        return left if is_decided else _value(operands[1], contexts, functions)
    right = _value(operands[1], contexts, functions)
    if operator in ("==", "!="):
        return equal(left, right) == (operator == "==")
    order = compare(left, right)
    return order is not None and _ORDER[operator](order)


def _contains(where: Value, what: Value) -> bool:
    if isinstance(where, list):
        return any(equal(item, what) for item in where)
    return to_text(what).lower() in to_text(where).lower()


def _format(template: Value, *values: Value) -> str:
    def replace(found: re.Match[str]) -> str:
        if found[0] in ("{{", "}}"):
            return found[0][0]
        if found[1] is None or int(found[1]) >= len(values):
            raise ExpressionError(f"format has no value for {found[0]!r}")
        return to_text(values[int(found[1])])

    return _PLACE.sub(replace, to_text(template))


def _join(values: Value, separator: Value = ",") -> str:
    items = values if isinstance(values, list) else [values]
    return to_text(separator).join(map(to_text, items))


def _from_json(text: Value) -> Value:
    try:
        return json.loads(to_text(text))
    except ValueError as error:
        raise ExpressionError(f"fromJSON: {text!r} is not JSON: {error}") from error


_FUNCTIONS: Functions = {
    "contains": _contains,
    "startswith": lambda a, b: to_text(a).lower().startswith(to_text(b).lower()),
    "endswith": lambda a, b: to_text(a).lower().endswith(to_text(b).lower()),
    "format": _format,
    "join": _join,
    "tojson": to_json,
    "fromjson": _from_json,
}
