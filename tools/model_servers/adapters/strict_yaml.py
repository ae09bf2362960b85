"""YAML, read strictly: what every reader reads alike, and nothing else.

Strict means: no duplicate keys, no aliases, no key that is not text, no value that
YAML reads as something else than it looks like.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

Places = dict[str, tuple[int, int]]
"""Line and column, from 1, of every place: ``build.extra_files[2]`` and so on."""

_MAX_CHARACTERS = 1_000_000
_MAX_DEPTH = 100
_MAX_DIGITS = 300
"""More than any number of 64 bits has; int() takes its time over millions."""


_CORRECT_IT = "correct the YAML"


class UnreadableError(Exception):
    """The text is not a document; it says where."""

    def __init__(
        self,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        fix: str = _CORRECT_IT,
    ) -> None:
        super().__init__(message)
        self.line, self.column, self.fix = line, column, fix


def parse(text: str) -> tuple[Any, Places]:
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
    if _FAST is not None and not _NEEDS_CARE.search(text):
        try:
            return read(text, _FAST)
        except UnreadableError as error:
            if error.__cause__ is None:  # our own words, whichever loader reads
                raise
            # The other loader says why, in the same words on every machine.
    return read(text, yaml.SafeLoader)


def read(text: str, loader: Any) -> tuple[Any, Places]:
    """Read YAML strictly with one of PyYAML's loaders; raises as ``parse`` does."""
    try:
        return _Reader(yaml.parse(text, Loader=loader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context or "it is not YAML")
        raise UnreadableError(
            problem,
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
            fix=next((fix for part, fix in _FIXES if part in problem), _CORRECT_IT),
        ) from error
    except yaml.YAMLError as error:  # an unprintable character, with no mark
        raise UnreadableError(str(error).splitlines()[0]) from error
    except (ValueError, OverflowError) as error:
        # PyYAML hands on what chr() says of "\\U00110000" and int() of a long %YAML.
        raise UnreadableError(f"it is not YAML: {error}") from error


class _Reader:
    """Turns YAML events into values and remembers where each one stood."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._places: Places = {}

    def document(self) -> tuple[Any, Places]:
        """Give the only document, None if there is none, and its places."""
        event = self._next(yaml.StreamStartEvent)
        if isinstance(event, yaml.StreamEndEvent):
            return None, {"": (1, 1)}
        value = self._value(next(self._events), "", 0)
        next(self._events)  # the document's end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise _unreadable("another document begins; a file holds one", event)
        return value, self._places

    def _next(self, *skipped: type) -> Any:
        event = next(self._events)
        while isinstance(event, skipped):
            event = next(self._events)
        return event

    def _value(self, event: Any, place: str, depth: int) -> Any:
        """Give the value that begins with *event* and stands at *place*."""
        self._places.setdefault(place, _mark(event))
        if depth > _MAX_DEPTH:
            raise _unreadable(
                f"it is nested too deeply; at most {_MAX_DEPTH} levels are read", event
            )
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event)
        if isinstance(event, yaml.AliasEvent):  # aliases make a document explode
            raise _unreadable("aliases are not read; write the value out", event)
        _refuse_tag(event, _COLLECTIONS[type(event)])
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place, depth + 1)
        return self._list(place, depth + 1)

    def _list(self, place: str, depth: int) -> list[Any]:
        items: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._value(event, f"{place}[{len(items)}]", depth))
        return items

    def _mapping(self, place: str, depth: int) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = _key(event)
            if key in mapping:
                raise _unreadable(
                    f"the key {key!r} is there twice", event, fix="remove one of them"
                )
            inner = f"{place}.{key}" if place else key
            self._places[inner] = _mark(event)
            mapping[key] = self._value(next(self._events), inner, depth)
        return mapping


def _key(event: Any) -> str:
    key = _scalar(event) if isinstance(event, yaml.ScalarEvent) else None
    if not isinstance(key, str):
        shown = event.value if isinstance(event, yaml.ScalarEvent) else "a collection"
        raise _unreadable(f"the key {shown} is not text; quote it", event)
    return key


def _scalar(event: Any) -> Any:
    """Give a scalar as YAML 1.1 types it, unless it looks like something else."""
    text = event.value
    if _HALF_CHARACTER.search(text):
        raise _unreadable("half of a surrogate pair is no character", event)
    if event.style:  # quoted, or a block
        _refuse_tag(event, "str")
        return text
    kind = _kind(text)
    _refuse_tag(event, kind)
    if kind not in _PLAIN:
        raise _unreadable(f"{text!r} is a {kind} in YAML; quote it", event)
    return _PLAIN[kind](text, event)


def _kind(text: str) -> str:
    """Say what YAML 1.1 takes a plain scalar for, such as ``int``."""
    tag = _RESOLVER.resolve(  # type: ignore[no-untyped-call]  # as PyYAML has it
        yaml.ScalarNode, text, (True, False)
    )
    return str(tag).removeprefix(_YAML_TAG)


def _text(text: str, event: Any) -> str:
    if _EXPONENT.fullmatch(text):
        raise _unreadable(
            f"{text} is text in YAML, not a number; write it like 1.0e-5", event
        )
    return text


def _whole(text: str, event: Any) -> int:
    if not _DECIMAL.fullmatch(text):
        raise _not_decimal(text, event)
    if len(text) > _MAX_DIGITS:
        raise _unreadable(
            f"the number has {len(text)} digits; at most {_MAX_DIGITS} are read", event
        )
    return int(text)


def _fraction(text: str, event: Any) -> float:
    if not _SEPARATORS.isdisjoint(text):
        raise _not_decimal(text, event)
    # Only YAML's own words for them are resolved as numbers: .inf, -.inf, .nan.
    value = math.inf if text.lstrip("+-").lower() in _NOT_FINITE else float(text)
    if not math.isfinite(value):
        raise _unreadable(f"{text} is not a finite number", event)
    return value


def _boolean(text: str, event: Any) -> bool:
    if text.lower() not in {"true", "false"}:
        raise _unreadable(
            f"the bare word {text} is a boolean in YAML; quote it, or write true or "
            "false",
            event,
        )
    return text.lower() == "true"


def _nothing(_: str, __: Any) -> None:
    return None


def _not_decimal(text: str, event: Any) -> UnreadableError:
    return _unreadable(
        f"the number {text} is not plain decimal; quote it, or write it without "
        "leading zero, base or separator",
        event,
    )


def _refuse_tag(event: Any, looks_like: str) -> None:
    """Raise if a tag makes the value something else than it looks like."""
    if event.tag is None or event.tag == _YAML_TAG + looks_like:
        return
    raise _unreadable(f"the tag {event.tag} is not read; leave it out", event)


def _unreadable(message: str, event: Any, **more: str) -> UnreadableError:
    line, column = _mark(event)
    return UnreadableError(message, line=line, column=column, **more)


def _mark(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


_FAST = getattr(yaml, "CSafeLoader", None)
"""libyaml's parser, some ten times as fast; PyYAML may be built without it."""

_NEEDS_CARE = re.compile(
    r"\?|^---|[|>][-+0-9]*#|"
    "[^\n -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]",
    re.MULTILINE,
)
"""What the two parsers may read differently, such as a tab; found by comparing them."""

_FIXES = (
    (r"'\t' that cannot start any token", "indent with spaces"),
    ("expected <block end>", "begin the keys of one block in the same column"),
    ("mapping values are not allowed here", "quote a text with a colon, or indent it"),
)
"""What mends what PyYAML speaks of in its own words."""

_YAML_TAG = "tag:yaml.org,2002:"
_COLLECTIONS = {yaml.MappingStartEvent: "map", yaml.SequenceStartEvent: "seq"}
_PLAIN = {
    "str": _text,
    "int": _whole,
    "float": _fraction,
    "bool": _boolean,
    "null": _nothing,
}
_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_SEPARATORS = frozenset("_:")
_NOT_FINITE = frozenset({".inf", ".nan"})
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_RESOLVER = yaml.resolver.Resolver()
