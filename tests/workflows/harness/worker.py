"""Executes the steps of one leg of a job on this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflows.harness import documents, outputs
from workflows.harness.documents import Step
from workflows.harness.expressions import Functions, condition, interpolate
from workflows.harness.service import SHELL_PATH, Event, Service, token
from workflows.harness.values import Value, to_text, truthy

_SHELLS = {
    # Source: the runner's ScriptHandlerHelpers: a shell that nobody named has no
    # pipefail, the same shell named has it.
    None: ["bash", "-e"],
    "bash": ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
    "sh": ["sh", "-e"],
}
_FILES = ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY")


class ActionError(Exception):
    """An action ends with an error."""


@dataclass(frozen=True, kw_only=True)
class Use:
    """What an action is given."""

    service: Service
    event: Event
    run_id: str
    workspace: Path
    permissions: Mapping[str, str]
    environment: str | None
    cache_mode: str
    inputs: Mapping[str, str]
    env: dict[str, str]
    """Of the steps that follow; an action may add to it."""


@dataclass(kw_only=True)
class Worker:
    """A machine for one leg of a job."""

    service: Service
    event: Event
    run_id: str
    folder: Path
    permissions: Mapping[str, str]
    environment: str | None
    cache_mode: str
    shell: str | None
    contexts: Mapping[str, Value]
    env: Mapping[str, Any]
    """Of the workflow and the job; expressions are not replaced yet."""

    exported: dict[str, str] = field(default_factory=dict)
    """What steps have put into the environment."""

    paths: list[str] = field(default_factory=list)
    steps: dict[str, Any] = field(default_factory=dict)
    masks: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    annotations: list[outputs.Annotation] = field(default_factory=list)
    summary: list[str] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    """Names of the steps that were not skipped."""

    has_failed: bool = False

    @property
    def workspace(self) -> Path:
        """Where the job works; empty until something is checked out."""
        return self.folder / "workspace"

    def run(self, steps: tuple[Step, ...]) -> None:
        """Execute steps in order."""
        self.workspace.mkdir(parents=True)
        for step in steps:
            self._step(step, self.contexts, self.steps)

    def value(self, document: Any) -> Any:
        """Replace expressions after the steps, as a job's outputs want it."""
        return interpolate(document, self._contexts(self.contexts, self.steps))

    def _step(
        self, step: Step, contexts: Mapping[str, Value], steps: dict[str, Any]
    ) -> None:
        seen = self._contexts(contexts, steps)
        if not condition(step.condition, seen, self._status()):
            self._remember(step, steps, "skipped", {})
            return
        self.executed.append(step.name)
        try:
            found = self._perform(step, seen)
            result = "success"
        except (ActionError, subprocess.CalledProcessError, ValueError) as error:
            self.log.append(f"{step.name}: {error}")
            found, result = {}, "failure"
            if not truthy(interpolate(step.continues_on_error, seen)):
                self.has_failed = True
        self._remember(step, steps, result, found)

    def _perform(self, step: Step, contexts: Mapping[str, Value]) -> Mapping[str, str]:
        env = self._env(step, contexts)
        contexts = {**contexts, "env": env}
        if step.run is not None:
            return self._script(step, contexts, env)
        inputs = {
            key: to_text(value)
            for key, value in interpolate(dict(step.inputs), contexts).items()
        }
        uses = step.uses or ""
        if uses.startswith(("./", "$/")):
            return self._composite(uses, inputs, contexts)
        name, _, _ = uses.partition("@")
        if name not in self.service.actions:
            raise ActionError(f"the action {name} is not known here")
        return self.service.actions[name](self._use(inputs))

    def _script(
        self, step: Step, contexts: Mapping[str, Value], env: Mapping[str, str]
    ) -> Mapping[str, str]:
        temp = self.folder / "temp"
        temp.mkdir(exist_ok=True)
        files = {name: temp / name for name in _FILES}
        for file in files.values():
            file.write_text("")
        script = temp / "script.sh"
        script.write_text(to_text(interpolate(step.run, contexts)), "utf-8")
        done = subprocess.run(
            [*_SHELLS[step.shell or self.shell], str(script)],
            cwd=self.workspace / (step.working_directory or "."),
            env={
                **self._machine(),
                **env,
                **{key: str(path) for key, path in files.items()},
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
        )
        self._hear(done.stdout, files)
        done.check_returncode()
        return outputs.assignments(files["GITHUB_OUTPUT"])

    def _hear(self, log: str, files: Mapping[str, Path]) -> None:
        self.masks += outputs.masks(log)
        self.log.append(log)
        self.annotations += outputs.annotations(log)
        self.summary.append(outputs.summary(files["GITHUB_STEP_SUMMARY"]))
        self.exported.update(outputs.assignments(files["GITHUB_ENV"]))
        added = files["GITHUB_PATH"].read_text("utf-8").split("\n")
        self.paths = [*filter(None, reversed(added)), *self.paths]

    def _composite(
        self, path: str, inputs: Mapping[str, str], contexts: Mapping[str, Value]
    ) -> Mapping[str, str]:
        action = documents.action(self._action(path), path)
        unknown = set(inputs) - set(action.inputs)
        if unknown:
            raise ActionError(f"{path} has no inputs {sorted(unknown)}")
        defaults = {
            key: to_text(told.get("default")) for key, told in action.inputs.items()
        }
        inner: dict[str, Any] = {}
        contexts = {**contexts, "inputs": {**defaults, **inputs}}
        for step in action.steps:
            self._step(step, contexts, inner)
        if self.has_failed:
            raise ActionError(f"{path} has failed")
        return {
            key: to_text(value)
            for key, value in interpolate(
                dict(action.outputs), self._contexts(contexts, inner)
            ).items()
        }

    def _action(self, path: str) -> str:
        """Read ``./path`` from the checkout, ``$/path`` from the running commit."""
        name = f"{path[2:]}/action.yml"
        file = self.workspace / name
        if path.startswith("$/"):
            text = self.service.file(self.event.sha, name)
        else:
            text = file.read_text("utf-8") if file.is_file() else None
        if text is None:
            raise ActionError(f"there is no {path}; is it checked out?")
        return text

    def _use(self, inputs: Mapping[str, str]) -> Use:
        return Use(
            service=self.service,
            event=self.event,
            run_id=self.run_id,
            workspace=self.workspace,
            permissions=self.permissions,
            environment=self.environment,
            cache_mode=self.cache_mode,
            inputs=inputs,
            env=self.exported,
        )

    def _contexts(
        self, contexts: Mapping[str, Value], steps: dict[str, Any]
    ) -> dict[str, Value]:
        job = {"status": "failure" if self.has_failed else "success"}
        env = {**interpolate(dict(self.env), contexts), **self.exported}
        runner = {"temp": str(self.folder / "temp"), "os": "Linux", "arch": "X64"}
        return {**contexts, "steps": steps, "job": job, "env": env, "runner": runner}

    def _env(self, step: Step, contexts: Mapping[str, Value]) -> dict[str, str]:
        env = {**contexts["env"], **interpolate(dict(step.env), contexts)}
        return {key: to_text(value) for key, value in env.items()}

    def _machine(self) -> dict[str, str]:
        """Give the environment of a runner: nothing of ours leaks into it."""
        tools = [str(path) for path in self.service.tools]
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_REPOSITORY": self.service.repository,
            "GITHUB_SHA": self.event.sha,
            "GITHUB_REF": self.event.ref,
            "GITHUB_EVENT_NAME": self.event.name,
            "GITHUB_RUN_ID": self.run_id,
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.folder / "temp"),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "AWS_EC2_METADATA_DISABLED": "true",
            "PATH": os.pathsep.join([*self.paths, *tools, SHELL_PATH]),
        }

    def _status(self) -> Functions:
        return {
            "success": lambda: not self.has_failed,
            "failure": lambda: self.has_failed,
            "always": lambda: True,
            "cancelled": lambda: False,
        }

    def _remember(
        self,
        step: Step,
        steps: dict[str, Any],
        result: str,
        found: Mapping[str, str],
    ) -> None:
        if step.id is not None:
            steps[step.id] = {
                "outputs": found,
                "outcome": result,
                "conclusion": result,
            }


def github_context(service: Service, event: Event, granted: Mapping[str, str]) -> Any:
    """Give the context ``github``."""
    return {
        "event_name": event.name,
        "event": event.payload,
        "sha": event.sha,
        "ref": event.ref,
        "ref_name": event.ref.removeprefix("refs/heads/").removeprefix("refs/"),
        "repository": service.repository,
        "run_id": "1",
        "workflow": "",
        "actor": "ada",
        "token": token(granted),
    }
