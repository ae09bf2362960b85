"""Whether a machine has the cores and the memory for the workers that are asked of it.

Nothing is refused for it: workers that mostly wait may be many, and what they take is
known only where a test has measured it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model_servers.core.release import Release
    from model_servers.core.spec import Serving

_WORKERS_PER_CORE = 4
"""Each computes with one thread at least."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a host has beside its GPUs."""

    cores: int
    memory_mib: int


@dataclass(frozen=True, kw_only=True)
class Crew:
    """The workers of one version that is to come, or to get more of them."""

    version: str
    workers: int
    worker_mib: int | None
    """What one has resident without a GPU; None if nobody has measured it."""

    wants_gpu: bool

    @classmethod
    def of(cls, release: Release, serving: Serving) -> Crew:
        """Read what a release asks on a host, and what its test has measured."""
        measured = (one.memory_mib for one in release.tested if one.device == "cpu")
        resident_mib = next(measured, None)
        tested_with = max(1, release.resources.get("workers", 1))
        return cls(
            version=str(release.ref.version),
            workers=serving.min_workers or 1,
            worker_mib=None if resident_mib is None else resident_mib // tested_with,
            wants_gpu=serving.device_type != "cpu",
        )


def why_crowded(crew: Crew, machine: Machine) -> str:
    """Say what of a machine has too little for workers without a GPU, or nothing."""
    return "; ".join(_complaints(crew, machine))


def _complaints(crew: Crew, machine: Machine) -> Iterator[str]:
    if crew.workers > _WORKERS_PER_CORE * machine.cores:
        cores = f"{machine.cores} CPU core{'' if machine.cores == 1 else 's'}"
        yield (
            f"{crew.workers} workers on {cores}; more than {_WORKERS_PER_CORE} a core "
            "only wait for one another"
        )
    need_mib = crew.workers * (crew.worker_mib or 0)
    if need_mib > machine.memory_mib:
        yield (
            f"{crew.workers} workers of {crew.worker_mib} MiB each, as measured, need "
            f"{need_mib} of {machine.memory_mib} MiB"
        )
