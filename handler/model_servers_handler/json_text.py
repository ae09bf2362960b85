"""JSON, read strictly and written from whatever a model may give; pure."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from model_servers_handler.tensors import as_array, is_tensor


@functools.cache
def json_codec() -> tuple[Callable[..., Any], Callable[[Any], bytes]]:
    """Give functions that read and write JSON: orjson's if it is installed."""
    try:
        import orjson
    except ImportError:
        return loads_strictly, dumps_strictly

    def dumps(value: Any) -> bytes:
        try:
            return orjson.dumps(value, json_default, orjson.OPT_SERIALIZE_NUMPY)
        except TypeError:
            # Keys that are numbers, large integers: only the slower one has them.
            return dumps_strictly(value)

    return orjson.loads, dumps


def loads_strictly(value: bytes | bytearray) -> Any:
    """Read JSON with the standard library, without what orjson refuses too."""

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    return json.loads(value, parse_constant=refuse)


def dumps_strictly(value: Any) -> bytes:
    """Write JSON with the standard library; NaN and infinity become null."""
    write = functools.partial(
        json.dumps, separators=(",", ":"), default=json_default, allow_nan=False
    )
    try:
        return write(value).encode()
    except ValueError:
        return write(without_nan(value)).encode()


def json_default(value: Any) -> Any:
    """Give the JSON encoders something that they know for what they do not."""
    if is_tensor(value):
        value = value.detach().cpu()
        if value.dtype == sys.modules["torch"].bfloat16:  # which numpy lacks
            value = value.float()
        value = as_array(value)
        return value.tolist() if is_tensor(value) else value
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(
        f"{type(value).__name__} cannot be encoded as JSON; return numbers, text,"
        " lists, dicts, tensors, arrays or dataclasses from postprocess_function"
    )


def without_nan(value: Any) -> Any:
    """Replace NaN and infinity, which JSON lacks, by None, as orjson does."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(part) for part in value]
    if value is None or isinstance(value, (str, int)):
        return value
    return without_nan(json_default(value))
