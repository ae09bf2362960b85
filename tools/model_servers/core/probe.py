"""What importing a model's code tells of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from model_servers.core.contribution import Contribution
from model_servers.core.findings import Code, Finding
from model_servers.core.layout import Member, manifest, plan_members
from model_servers.core.rules.packages import names_of
from model_servers.core.spec import Build, ModelSpec, Serving

_FITS = " does not fit the model: "
"""Stands in the shared handler's message before all differences (checkpoints.py)."""


class Stage(Enum):
    """How far the shared handler came."""

    UNPACK = "unpack"
    """It unpacks ``system.extraFiles``."""

    IMPORT = "import"
    """It imports the model file."""

    BIND = "bind"
    """It looks whether each function takes what it would be given."""

    INIT = "init"
    """It calls init_function."""

    WEIGHTS = "weights"
    """It gives the model the checkpoint's weights."""


@dataclass(frozen=True, kw_only=True)
class ProbeOrder:
    """What an archive would hold, and what it needs."""

    members: Sequence[Member]
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    packages: tuple[str, ...] = ()
    """The names in its requirements file."""

    @classmethod
    def of(cls, contribution: Contribution) -> ProbeOrder | None:
        """Order it for a contribution; None if its documents cannot be read."""
        if contribution.model is None or contribution.config is None:
            return None
        spec = ModelSpec.from_mapping(contribution.model.data)
        serving = Serving.from_mapping(contribution.config.data)
        return cls(
            members=plan_members(spec, serving, contribution.files),
            manifest=manifest(spec, inputs_digest="", handler_digest=""),
            config=contribution.config.data,
            packages=names_of(contribution.requirements or ""),
        )


@dataclass(frozen=True)
class Loaded:
    """The shared handler can load the model."""


@dataclass(frozen=True)
class Failed:
    """It cannot."""

    stage: Stage
    reason: str
    """In the shared handler's own words."""


@dataclass(frozen=True)
class NotChecked:
    """It could not be tried here, which says nothing of the model."""

    reason: str


ProbeReport = Loaded | Failed | NotChecked


def findings_of(report: ProbeReport, contribution: Contribution) -> Iterator[Finding]:
    """Say what is wrong with a model whose code was imported."""
    if not isinstance(report, Failed) or contribution.model is None:
        return
    build = ModelSpec.from_mapping(contribution.model.data).build
    code, path, fix = _place(report, build)
    _, fits, differences = report.reason.partition(_FITS)
    for line in differences.split("; ") if fits else [report.reason]:
        message = f"the checkpoint{_FITS}{line}" if fits else line
        yield contribution.finding(code, message, document=path, fix=fix)


def _place(report: Failed, build: Build) -> tuple[Code, str, str]:
    if report.stage in (Stage.UNPACK, Stage.IMPORT):
        is_missing = "ModuleNotFoundError" in report.reason
        return (
            Code.NOT_IMPORTABLE,
            build.model_file,
            "add what is missing to requirements.txt or to build.extra_files"
            if is_missing
            else "correct what the file does when it is imported",
        )
    if report.stage is Stage.WEIGHTS:
        return (
            Code.WRONG_WEIGHTS,
            build.checkpoint_file or build.model_file,
            "save the checkpoint of this network, or correct the network",
        )
    return (
        Code.NOT_CALLABLE,
        build.model_file,
        "correct the function, or the arguments that it is given",
    )
