"""The host profile: what one GPU host should serve, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

MANAGEMENT = "http://127.0.0.1:8081"
INFERENCE = "http://127.0.0.1:8080"
"""Where TorchServe listens unless it is told otherwise."""

DRAIN_S = 10.0


@dataclass(frozen=True, kw_only=True)
class HostProfile:
    """One ``sync.yaml``."""

    models: Mapping[str, str]
    """The wanted version of each model: a number, or ``latest``."""

    store: str | None = None
    model_store: str | None = None
    management: str = MANAGEMENT
    inference: str = INFERENCE
    python: str | None = None
    """The Python of TorchServe's workers; None for the one that runs this tool."""

    key_file: str | None = None
    """TorchServe's ``key_file.json``; None where token authorization is off."""

    drain_s: float = field(default=DRAIN_S)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a document that ``sync.schema.json`` has accepted."""
        fields = {
            key: data[key]
            for key in ("models", "store", "model_store", "drain_s")
            if key in data
        }
        return cls(**fields, **data.get("torchserve", {}))
