"""GitHub's expressions, from text to a tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

from workflows.harness.values import Value, parse_number


class ExpressionError(ValueError):
    """The text is no expression, or names what is not there."""


@dataclass(frozen=True)
class Literal:
    """A value that stands in the text."""

    value: Value


@dataclass(frozen=True)
class Name:
    """A context, such as ``github``."""

    name: str


@dataclass(frozen=True)
class Index:
    """``of.key`` or ``of[key]``; ``key`` is None for ``*``."""

    of: Node
    key: Node | None


@dataclass(frozen=True)
class Call:
    """A function and what it is given."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Operation:
    """An operator and its operands, one or two."""

    operator: str
    operands: tuple[Node, ...]


Node = Union[Literal, Name, Index, Call, Operation]  # noqa: UP007 - names come later

_LEVELS = (("||",), ("&&",), ("==", "!="), ("<", "<=", ">", ">="))
_KEYWORDS: dict[str, Value] = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
}
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*')
      | (?P<number>[-+]?(?:0x[0-9a-fA-F]+|0o[0-7]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
          (?![A-Za-z0-9_]))
      | (?P<name>[A-Za-z_][A-Za-z0-9_-]*)
      | (?P<sign>\|\||&&|==|!=|<=|>=|[<>!()\[\],.*])
    )""",
    re.VERBOSE,
)


def parse(text: str) -> Node:
    """Read an expression.

    Raises:
        ExpressionError: it is none.
    """
    tokens = _Tokens(list(_tokens(text)), text)
    node = tokens.binary(0)
    tokens.expect("")
    return node


def calls(node: Node) -> Iterator[str]:
    """Yield the functions that are called anywhere in a tree, in lower case."""
    match node:
        case Call(function, arguments):
            yield function.lower()
            for one in arguments:
                yield from calls(one)
        case Operation(_, operands):
            for one in operands:
                yield from calls(one)
        case Index(of, key):
            yield from calls(of)
            if key is not None:
                yield from calls(key)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise ExpressionError(f"{text!r}: unexpected {text[place:].strip()[:9]!r}")
        place = match.end()
        yield match.lastgroup or "", match[match.lastgroup or 0]


class _Tokens:
    """A recursive descent over tokens."""

    def __init__(self, tokens: list[tuple[str, str]], text: str) -> None:
        self.rest = [*tokens, ("end", "")]
        self.text = text

    @property
    def sign(self) -> str:
        """The next token, if it is a sign; the empty text at the end."""
        kind, token = self.rest[0]
        return token if kind in ("sign", "end") else f"{kind} {token}"

    def expect(self, sign: str) -> None:
        if self.sign != sign:
            raise ExpressionError(f"{self.text!r}: {self.sign!r}, expected {sign!r}")
        self.rest.pop(0)

    def accept(self, *signs: str) -> str | None:
        return self.rest.pop(0)[1] if self.sign in signs and self.sign else None

    def binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self.unary()
        node = self.binary(level + 1)
        while operator := self.accept(*_LEVELS[level]):
            node = Operation(operator, (node, self.binary(level + 1)))
        return node

    def unary(self) -> Node:
        if self.accept("!"):
            return Operation("!", (self.unary(),))
        return self.postfix(self.primary())

    def primary(self) -> Node:
        if self.accept("("):
            node = self.binary(0)
            self.expect(")")
            return node
        kind, token = self.rest.pop(0)
        if kind == "text":
            return Literal(token[1:-1].replace("''", "'"))
        if kind == "number":
            return Literal(parse_number(token))
        if kind != "name":
            raise ExpressionError(f"{self.text!r}: unexpected {token or 'end'!r}")
        if self.accept("("):
            return Call(token, self.arguments())
        return Literal(_KEYWORDS[token]) if token in _KEYWORDS else Name(token)

    def arguments(self) -> tuple[Node, ...]:
        if self.accept(")"):
            return ()
        found = [self.binary(0)]
        while self.accept(","):
            found.append(self.binary(0))
        self.expect(")")
        return tuple(found)

    def postfix(self, node: Node) -> Node:
        while sign := self.accept(".", "["):
            if self.accept("*"):
                key = None
            elif sign == ".":
                kind, token = self.rest.pop(0)
                if kind != "name":
                    raise ExpressionError(f"{self.text!r}: no name after the point")
                key = Literal(token)
            else:
                key = self.binary(0)
            if sign == "[":
                self.expect("]")
            node = Index(node, key)
        return node
