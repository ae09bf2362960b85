"""The host profile: what one GPU host should serve, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING, Any

from model_servers.core.channels import is_channel
from model_servers.core.entries import Layout
from model_servers.core.overlay import Overrides

if TYPE_CHECKING:
    from typing_extensions import Self

MANAGEMENT = "http://127.0.0.1:8081"
INFERENCE = "http://127.0.0.1:8080"
METRICS = "http://127.0.0.1:8082"
"""Where TorchServe listens unless it is told otherwise."""


class Update(Enum):
    """In which order one version takes the place of another."""

    AUTO = "auto"
    """As ``availability`` where both versions fit on the host."""

    AVAILABILITY = "availability"
    """The new version answers before the old one goes."""

    RESOURCE = "resource"
    """The old version goes first, and nobody answers meanwhile. Needs consent."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How a host is changed."""

    update: Update = Update.AUTO
    allow_downtime: bool = False
    """Models that answer may be silent for a while, in every sync of this host."""

    keep: int = 2
    """So many versions of a model stay on the disk beside those that are served."""

    max_removed_share: float = 0.5
    """Of the served models; a profile that drops more of them is refused."""

    max_changed_share: float = 1.0
    """Of the served models; a plan that changes more of them is refused."""

    memory_headroom_mib: int = 512
    """What must be left free on each GPU."""

    soak_s: float = 0.0
    """So long a new default is watched before the old version goes."""

    drain_s: float = 10.0
    """So long a version that nobody waits for is kept for requests in work."""

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read the ``policy:`` block."""
        update = Update(data.get("update", Update.AUTO.value))
        return cls(**{**data, "update": update})


@dataclass(frozen=True, kw_only=True)
class WantedModel:
    """What the profile asks of one model."""

    default: str
    """What answers requests that name no version: a version, channel, or ``latest``."""

    also: tuple[str, ...] = ()
    """What is served beside it, for requests that name it."""

    overrides: Overrides = field(default_factory=Overrides)
    update: Update | None = None
    """None for the policy's."""

    @property
    def channels(self) -> set[str]:
        """Name the channels that it follows."""
        return {one for one in (self.default, *self.also) if is_channel(one)}

    @classmethod
    def of(cls, value: str | Mapping[str, Any]) -> Self:
        """Read one entry of ``models:``; a text is the default alone."""
        if isinstance(value, str):
            return cls(default=value)
        update = value.get("update")
        return cls(
            default=value["default"],
            also=tuple(value.get("also", ())),
            overrides=Overrides.from_mapping(value),
            update=None if update is None else Update(update),
        )


@dataclass(frozen=True, kw_only=True)
class HostProfile:
    """One ``sync.yaml``."""

    models: Mapping[str, WantedModel]
    store: str | None = None
    model_store: str | None = None
    layout: Layout = Layout.DIR
    management: str = MANAGEMENT
    inference: str = INFERENCE
    metrics: str = METRICS
    python: str | None = None
    """The Python of TorchServe's workers; None for the one that runs this tool."""

    key_file: str | None = None
    """TorchServe's ``key_file.json``; None where token authorization is off."""

    config: str | None = None
    """TorchServe's ``config.properties``, on which the boot config is based."""

    policy: Policy = field(default_factory=Policy)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a document that ``sync.schema.json`` has accepted."""
        torchserve = data.get("torchserve", {})
        known = {one.name for one in fields(cls)}
        return cls(
            models={name: WantedModel.of(one) for name, one in data["models"].items()},
            store=data.get("store"),
            model_store=data.get("model_store"),
            layout=Layout(data.get("layout", Layout.DIR.value)),
            policy=Policy.from_mapping(data.get("policy", {})),
            **{key: value for key, value in torchserve.items() if key in known},
        )
