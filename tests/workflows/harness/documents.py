"""Workflows and actions as their YAML says.

A key that the harness cannot honour is an error, so that no test passes because
something was passed over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from workflows.harness.values import to_text


class DocumentError(ValueError):
    """A workflow that GitHub would refuse, or that the harness cannot run."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a job or of a composite action."""

    id: str | None
    name: str
    condition: Any
    uses: str | None
    run: str | None
    shell: str | None
    inputs: Mapping[str, Any]
    env: Mapping[str, Any]
    working_directory: str | None
    continues_on_error: Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job, before its matrix is known."""

    id: str
    needs: tuple[str, ...]
    condition: Any
    permissions: Mapping[str, str] | None
    environment: str | None
    outputs: Mapping[str, Any]
    env: Mapping[str, Any]
    shell: str | None
    strategy: Mapping[str, Any]
    steps: tuple[Step, ...]
    uses: str | None
    """A workflow of this repository, in the place of steps."""

    inputs: Mapping[str, Any]
    raw: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """One file below ``.github/workflows``."""

    path: str
    name: str
    events: Mapping[str, Mapping[str, Any]]
    permissions: Mapping[str, str] | None
    env: Mapping[str, Any]
    shell: str | None
    jobs: Mapping[str, Job]
    raw: Mapping[str, Any]

    def inputs(self, event: str) -> Mapping[str, Mapping[str, Any]]:
        """Give the inputs that an event of it takes."""
        return self.events.get(event, {}).get("inputs") or {}


@dataclass(frozen=True, kw_only=True)
class Action:
    """A composite action."""

    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]
    steps: tuple[Step, ...] = field(default=())


def load(text: str) -> Any:
    """Read YAML 1.2 as GitHub does: ``on`` is a text, and so is ``yes``."""
    return yaml.load(text, Loader=_Loader)


def workflow(text: str, path: str) -> Workflow:
    """Read a workflow.

    Raises:
        DocumentError: it has a key that is not known, or needs a job it lacks.
    """
    data = load(text)
    _known(data, _WORKFLOW_KEYS, path)
    jobs = {id_: _job(id_, job, path) for id_, job in data["jobs"].items()}
    for job in jobs.values():
        for needed in job.needs:
            if needed not in jobs:
                raise DocumentError(f"{path}: {job.id} needs {needed}, which is no job")
    return Workflow(
        path=path,
        name=data.get("name", path),
        events=_events(data["on"]),
        permissions=_permissions(data.get("permissions")),
        env=data.get("env", {}),
        shell=_shell(data),
        jobs=jobs,
        raw=data,
    )


def action(text: str, path: str) -> Action:
    """Read a composite action."""
    data = load(text)
    _known(data, {"name", "description", "inputs", "outputs", "runs"}, path)
    runs = data["runs"]
    if runs.get("using") != "composite":
        raise DocumentError(f"{path}: only composite actions can be run here")
    for step in runs["steps"]:
        if "run" in step and "shell" not in step:
            raise DocumentError(f"{path}: a step of an action must name its shell")
    return Action(
        inputs=data.get("inputs", {}),
        outputs={
            name: output["value"] for name, output in data.get("outputs", {}).items()
        },
        steps=tuple(_step(step, path) for step in runs["steps"]),
    )


def _job(id_: str, data: Mapping[str, Any], path: str) -> Job:
    where = f"{path}: {id_}"
    _known(data, _JOB_KEYS, where)
    if ("steps" in data) == ("uses" in data):
        raise DocumentError(f"{where}: a job has either steps or uses")
    needs = data.get("needs", [])
    environment = data.get("environment")
    if isinstance(environment, Mapping):
        environment = environment["name"]
    return Job(
        id=id_,
        needs=tuple([needs] if isinstance(needs, str) else needs),
        condition=data.get("if", ""),
        permissions=_permissions(data.get("permissions")),
        environment=environment,
        outputs=data.get("outputs", {}),
        env=data.get("env", {}),
        shell=_shell(data),
        strategy=data.get("strategy", {}),
        steps=tuple(_step(step, where) for step in data.get("steps", ())),
        uses=data.get("uses"),
        inputs=data.get("with", {}),
        raw=data,
    )


def _step(data: Mapping[str, Any], where: str) -> Step:
    _known(data, _STEP_KEYS, where)
    if ("run" in data) == ("uses" in data):
        raise DocumentError(f"{where}: a step has either run or uses")
    told = data.get("name") or data.get("uses") or data["run"].splitlines()[0]
    return Step(
        id=data.get("id"),
        name=told,
        condition=data.get("if", ""),
        uses=data.get("uses"),
        run=data.get("run"),
        shell=data.get("shell"),
        inputs=data.get("with", {}),
        env=data.get("env", {}),
        working_directory=data.get("working-directory"),
        continues_on_error=data.get("continue-on-error", False),
    )


def _events(data: Any) -> dict[str, Mapping[str, Any]]:
    if isinstance(data, str):
        return {data: {}}
    if isinstance(data, list):
        return {name: {} for name in data}
    return {
        name: {"schedules": settings} if isinstance(settings, list) else settings or {}
        for name, settings in data.items()
    }


def _permissions(data: Any) -> Mapping[str, str] | None:
    if isinstance(data, str):
        raise DocumentError(f"permissions: {data} gives more than anybody reads")
    return data


def _shell(data: Mapping[str, Any]) -> str | None:
    found = data.get("defaults", {}).get("run", {}).get("shell")
    return None if found is None else to_text(found)


def _known(data: Mapping[str, Any], keys: set[str], where: str) -> None:
    unknown = set(data) - keys
    if unknown:
        raise DocumentError(f"{where}: keys {sorted(unknown)} are not known here")


_WORKFLOW_KEYS = {
    "concurrency",
    "defaults",
    "env",
    "jobs",
    "name",
    "on",
    "permissions",
    "run-name",
}
_JOB_KEYS = {
    "cache-mode",
    "concurrency",
    "defaults",
    "env",
    "environment",
    "if",
    "name",
    "needs",
    "outputs",
    "permissions",
    "runs-on",
    "steps",
    "strategy",
    "timeout-minutes",
    "uses",
    "with",
}
_STEP_KEYS = {
    "continue-on-error",
    "env",
    "id",
    "if",
    "name",
    "run",
    "shell",
    "timeout-minutes",
    "uses",
    "with",
    "working-directory",
}


class _Loader(yaml.SafeLoader):
    """Knows the booleans of YAML 1.2 only."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, found) for tag, found in resolvers if not tag.endswith(":bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf")
)
