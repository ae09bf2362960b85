"""Golden cases: a recorded request, its answer, and how near is near enough."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self


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
            expected=data["expect"]["json"],
            tolerance={
                device: Tolerance(**bounds)
                for device, bounds in data.get("tolerance", {}).items()
            },
        )

    def differences(self, answer: bytes, *, device: str) -> list[str]:
        """Say where *answer* is not the expected one; nothing if it is."""
        try:
            found = json.loads(answer)
        except (ValueError, RecursionError):
            return [f"the answer is not JSON: {_short(answer)}"]
        tolerance = self.tolerance.get(device, Tolerance())
        return list(_differences(self.expected, found, tolerance, "answer"))


def _body(request: Mapping[str, Any], read: Callable[[str], bytes]) -> bytes:
    if "file" in request:
        return read(request["file"])
    if "text" in request:
        return str(request["text"]).encode()
    return json.dumps(request["json"], separators=(",", ":")).encode()


def _differences(
    expected: Any, found: Any, tolerance: Tolerance, place: str
) -> Iterator[str]:
    """Yield one line per difference between two JSON values."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            inner = f"{place}.{key}"
            if key not in found:
                yield f"{inner} is missing"
            elif key not in expected:
                yield f"{inner} was not expected"
            else:
                yield from _differences(expected[key], found[key], tolerance, inner)
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield f"{place} has {len(found)} items, expected {len(expected)}"
        for i, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from _differences(one, other, tolerance, f"{place}[{i}]")
    elif not _agree(expected, found, tolerance):
        yield f"{place} is {_short(found)}, expected {_short(expected)}"


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
