"""Golden cases: a recorded request, its answer, and how near is near enough."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

_MAX_DIFFERENCES = 100
"""Of a large answer that is all wrong, nobody reads more."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """Numbers agree if they differ by at most ``absolute + relative * |expected|``.

    Integers in the expected answer must be met exactly.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def accepts(self, expected: float, found: float) -> bool:
        """Say whether *found* is near enough; NaN agrees with NaN only."""
        if math.isnan(expected) or math.isnan(found):
            return math.isnan(expected) and math.isnan(found)
        if math.isinf(expected) or math.isinf(found):
            return expected == found
        return abs(found - expected) <= self.absolute + self.relative * abs(expected)

    def __str__(self) -> str:
        return f"absolute {self.absolute:g}, relative {self.relative:g}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How an answer compares with the expected one."""

    differences: tuple[str, ...] = ()
    """The first of them, in order: the place, what was found, what was expected."""

    max_absolute_error: float = 0.0
    """Over all numbers that were compared, also those within tolerance."""

    max_relative_error: float = 0.0
    """As above, where the expected number is not 0; infinite for NaN and the like."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The body of a prediction request, ready to send."""

    content_type: str
    body: bytes


@dataclass(frozen=True, kw_only=True)
class GoldenCase:
    """One recorded request with its expected answer."""

    name: str
    request: Request
    expected: Any
    """The answer as JSON values."""

    tolerance: Mapping[str, Tolerance]
    """By device: ``cpu`` or ``gpu``."""

    is_recorded: bool = True
    """Somebody has said what is expected; without it no answer is right."""

    @classmethod
    def from_mapping(
        cls, name: str, data: Mapping[str, Any], *, read: Callable[[str], bytes]
    ) -> Self:
        """Read a document that ``golden.schema.json`` has accepted.

        Args:
            name: the case's file name without its ending.
            data: the document.
            read: gives the bytes of a file that stands beside the case.
        """
        request = data["request"]
        return cls(
            name=name,
            request=Request(
                content_type=request["content_type"], body=_body(request, read)
            ),
            expected=data.get("expect", {}).get("json"),
            is_recorded="expect" in data,
            tolerance={
                device: Tolerance(**bounds)
                for device, bounds in data.get("tolerance", {}).items()
            },
        )

    def differences(self, answer: bytes, *, device: str) -> list[str]:
        """Say where *answer* is not the expected one; nothing if it is."""
        return list(self.compare(answer, device=device).differences)

    def compare(self, answer: bytes, *, device: str) -> Comparison:
        """Compare *answer*, as it came, with the expected one."""
        if not self.is_recorded:
            return Comparison(differences=("no answer is recorded",))
        try:
            found = decoded(answer)
        except ValueError as error:
            return Comparison(differences=(str(error),))
        return compare(self.expected, found, self.tolerance_on(device))

    def tolerance_on(self, device: str) -> Tolerance:
        """Say how near is near enough on a device; exactly if the case is silent."""
        return self.tolerance.get(device, Tolerance())


def decoded(answer: bytes) -> Any:
    """Read an answer as JSON values.

    Raises:
        ValueError: it is not JSON.
    """
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise ValueError(f"the answer is not JSON: {_short(answer)}") from None


def compare(expected: Any, found: Any, tolerance: Tolerance) -> Comparison:
    """Compare two JSON values."""
    differences: list[str] = []
    absolute, relative = 0.0, 0.0
    for one in _compared(expected, found, tolerance, "answer"):
        if one.difference and len(differences) < _MAX_DIFFERENCES:
            differences.append(one.difference)
        absolute = max(absolute, one.absolute_error)
        relative = max(relative, one.relative_error)
    return Comparison(
        differences=tuple(differences),
        max_absolute_error=absolute,
        max_relative_error=relative,
    )


@dataclass(frozen=True, kw_only=True)
class _Compared:
    """What one place of two values came to."""

    difference: str = ""
    absolute_error: float = 0.0
    relative_error: float = 0.0


def _body(request: Mapping[str, Any], read: Callable[[str], bytes]) -> bytes:
    if "file" in request:
        return read(request["file"])
    if "text" in request:
        return str(request["text"]).encode()
    return json.dumps(request["json"], separators=(",", ":")).encode()


def _compared(
    expected: Any, found: Any, tolerance: Tolerance, place: str
) -> Iterator[_Compared]:
    """Yield what each place of two JSON values comes to, in order."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            inner = f"{place}.{key}"
            if key not in found:
                yield _Compared(difference=f"{inner} is missing")
            elif key not in expected:
                yield _Compared(difference=f"{inner} was not expected")
            else:
                yield from _compared(expected[key], found[key], tolerance, inner)
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield _Compared(
                difference=f"{place} has {len(found)} items, expected {len(expected)}"
            )
        for i, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from _compared(one, other, tolerance, f"{place}[{i}]")
    else:
        yield _compared_leaf(expected, found, tolerance, place)


def _compared_leaf(
    expected: Any, found: Any, tolerance: Tolerance, place: str
) -> _Compared:
    difference = ""
    if not _agree(expected, found, tolerance):
        difference = f"{place} is {_short(found)}, expected {_short(expected)}"
    if not (_is_number(expected) and _is_number(found)):
        return _Compared(difference=difference)
    wanted = _as_float(expected)
    error = _error(wanted, _as_float(found))
    return _Compared(
        difference=difference,
        absolute_error=error,
        relative_error=error / abs(wanted) if _can_divide(wanted) else 0.0,
    )


def _error(expected: float, found: float) -> float:
    """Say how far two numbers are apart; infinitely if one is not finite alone."""
    if expected == found or (math.isnan(expected) and math.isnan(found)):
        return 0.0
    error = abs(found - expected)
    return math.inf if math.isnan(error) else error


def _can_divide(expected: float) -> bool:
    return expected != 0 and math.isfinite(expected)


def _agree(expected: Any, found: Any, tolerance: Tolerance) -> bool:
    if isinstance(expected, float) and _is_number(found):
        return tolerance.accepts(expected, _as_float(found))
    return type(expected) is type(found) and bool(expected == found)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer beyond every float
        return math.inf if number > 0 else -math.inf


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = value.decode(errors="replace") if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
