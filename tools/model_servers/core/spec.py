"""What ``model.yaml`` and ``model-config.yaml`` say, as values.

The schemas have checked the shape; nothing is checked twice here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from model_servers.core.names import Ref, Version

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, kw_only=True)
class Build:
    """The files of an archive, under the guide's own argument names."""

    model_file: str
    config_file: str
    requirements_file: str | None = None
    checkpoint_file: str | None = None
    extra_files: tuple[str, ...] = ()

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read the ``build:`` block."""
        return cls(**{**data, "extra_files": tuple(data.get("extra_files", ()))})

    def named_files(self) -> list[tuple[str, str]]:
        """Every file named, with its place in ``model.yaml``."""
        single = {
            "build.model_file": self.model_file,
            "build.config_file": self.config_file,
            "build.requirements_file": self.requirements_file,
            "build.checkpoint_file": self.checkpoint_file,
        }
        return [(where, path) for where, path in single.items() if path is not None] + [
            (f"build.extra_files[{i}]", path) for i, path in enumerate(self.extra_files)
        ]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What the weights must be."""

    sha256: str
    size_bytes: int
    uri: str | None = None
    """Where they are, if not in git."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One ``model.yaml``."""

    name: str
    version: Version
    summary: str
    license: str
    maintainers: tuple[str, ...]
    build: Build
    checkpoint: Checkpoint | None = None
    golden: str = "golden"
    """The directory with the golden cases."""

    @property
    def ref(self) -> Ref:
        """This version of this model."""
        return Ref(self.name, self.version)

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a document that ``model.schema.json`` has accepted."""
        checkpoint = data.get("checkpoint")
        return cls(
            name=data["name"],
            version=Version.parse(data["version"]),
            summary=data["summary"],
            license=data["license"],
            maintainers=tuple(data["maintainers"]),
            build=Build.from_mapping(data["build"]),
            checkpoint=checkpoint
            and Checkpoint(
                sha256=checkpoint["sha256"],
                size_bytes=checkpoint["size"],
                uri=checkpoint.get("uri"),
            ),
            golden=data.get("golden", "golden"),
        )


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What ``model-config.yaml`` asks of TorchServe, with its units.

    A field is None where the document is silent; TorchServe then decides.
    """

    min_workers: int | None = None
    max_workers: int | None = None
    batch_size: int | None = None
    max_batch_delay_ms: int | None = None
    response_timeout_s: int | None = None
    startup_timeout_s: int | None = None
    extra_files: tuple[str, ...] = ()
    """``system.extraFiles``: the archives that the handler unpacks."""

    gpu_memory_mib: int | None = None
    """``system.maxGPUMemory``, for one worker; the guide's MB are 2^20 bytes."""

    device_type: str | None = None
    """``cpu`` or ``gpu``; None is a GPU where the host has one."""

    device_ids: tuple[int, ...] = ()
    parallel_level: int = 1
    """How many GPUs one worker takes."""

    def resources(self) -> dict[str, int]:
        """Give what a release says that the model needs."""
        declared = {
            "gpu_memory_mib": self.gpu_memory_mib,
            "workers": self.min_workers,
        }
        return {name: value for name, value in declared.items() if value is not None}

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a document that ``model-config.schema.json`` has accepted."""
        system = data.get("system", {})
        return cls(
            min_workers=data.get("minWorkers"),
            max_workers=data.get("maxWorkers"),
            batch_size=data.get("batchSize"),
            max_batch_delay_ms=data.get("maxBatchDelay"),
            response_timeout_s=data.get("responseTimeout"),
            startup_timeout_s=data.get("startupTimeout"),
            extra_files=_names(system.get("extraFiles", ())),
            gpu_memory_mib=system.get("maxGPUMemory"),
            device_type=_device_type(data.get("deviceType")),
            device_ids=tuple(data.get("deviceIds", ())),
            parallel_level=_parallel_level(data),
        )

    def with_overlay(self, overlay: Mapping[str, Any]) -> Self:
        """Give what is asked once a host has changed some keys of the model config."""
        return replace(
            self,
            min_workers=overlay.get("minWorkers", self.min_workers),
            max_workers=overlay.get("maxWorkers", self.max_workers),
            device_type=_device_type(overlay.get("deviceType", self.device_type)),
            device_ids=tuple(overlay.get("deviceIds", self.device_ids)),
        )


def _device_type(text: str | None) -> str | None:
    """Read it as TorchServe does: in any case, and nothing said is said by ``""``."""
    return (text or "").lower() or None


def _parallel_level(data: Mapping[str, Any]) -> int:
    torchrun = data.get("torchrun", {})
    level = torchrun.get("nproc-per-node", data.get("parallelLevel", 1))
    return int(level)


def _names(listed: str | Sequence[str]) -> tuple[str, ...]:
    """Give the names in a list, or in a text with commas, as the handler reads it."""
    names = listed.split(",") if isinstance(listed, str) else listed
    return tuple(name.strip() for name in names)
