"""What a host changes in a model's own config: workers, batches, devices."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from model_servers.core.canonical import sha256_of

if TYPE_CHECKING:
    from typing_extensions import Self

Overlay = Mapping[str, Any]
"""Keys of TorchServe's model config, and what they are on this host."""

DEVICE_IDS = "deviceIds"
DEVICE_TYPE = "deviceType"
WORKERS = "minWorkers"

_KEYS = {
    "workers": (WORKERS, "maxWorkers"),
    "batch_size": ("batchSize",),
    "max_batch_delay_ms": ("maxBatchDelay",),
    "device": (DEVICE_TYPE,),
    "device_ids": (DEVICE_IDS,),
}

_ONLY_WORKERS = frozenset(_KEYS["workers"])
"""What TorchServe can change while a version serves; all else is read at its load."""

_EXPONENT_ONLY = re.compile(r"-?[0-9]+e.*")


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """The settings of one model that a host decides; None leaves the model's own."""

    workers: int | None = None
    batch_size: int | None = None
    max_batch_delay_ms: int | None = None
    device: str | None = None
    device_ids: tuple[int, ...] | None = None

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read them from an entry of ``models:`` of a host profile."""
        own = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        if "device_ids" in own:
            own["device_ids"] = tuple(own["device_ids"])
        return cls(**own)

    def overlay(self) -> dict[str, Any]:
        """Give them as keys of the model config."""
        said = {
            name: getattr(self, name)
            for name in _KEYS
            if getattr(self, name) is not None
        }
        return {
            key: list(value) if isinstance(value, tuple) else value
            for name, value in said.items()
            for key in _KEYS[name]
        }


def overlay_digest(overlay: Overlay) -> str:
    """Name exactly this overlay; nothing for one that changes nothing."""
    return sha256_of(dict(overlay))[:12] if overlay else ""


def differences(before: Overlay, after: Overlay) -> list[str]:
    """Say which settings differ, such as ``batchSize 4 -> 8``.

    >>> differences({"batchSize": 4}, {"deviceIds": [0]})
    ["batchSize 4 -> the model's own", "deviceIds the model's own -> [0]"]
    """
    own = "the model's own"
    return [
        f"{key} {before.get(key, own)} -> {after.get(key, own)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def changes_only_workers(before: Overlay, after: Overlay) -> bool:
    """Say whether a version can go on serving while it takes the new settings.

    Only where both say how many: the model's own number is not known here.
    """
    changed = {
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    }
    return changed <= _ONLY_WORKERS <= before.keys() & after.keys()


def with_overlay(config: Mapping[str, Any], overlay: Overlay) -> str:
    """Write a model config in which the keys of *overlay* are as it says.

    In YAML's flow style, whose texts are always quoted: nothing is taken for
    something else by any of its readers.
    """
    lines = (
        f"{_written(key)}: {_written(value)}"
        for key, value in {**config, **overlay}.items()
    )
    return "".join(f"{line}\n" for line in lines)


def _written(value: Any) -> str:
    match value:
        case Mapping():
            inner = (f"{_written(key)}: {_written(one)}" for key, one in value.items())
            return "{" + ", ".join(inner) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_written, value)) + "]"
        case float():
            text = repr(value)
            # YAML 1.1 reads 1e-05 as a text, and 1.0e-05 as a number.
            return text.replace("e", ".0e") if _EXPONENT_ONLY.fullmatch(text) else text
        case _:
            return json.dumps(value, ensure_ascii=False)
