"""Runs a workflow: which jobs, in which order, with what they may do and know."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workflows.harness import documents, matrix
from workflows.harness.documents import DocumentError, Job, Workflow
from workflows.harness.expressions import Functions, condition, interpolate
from workflows.harness.outputs import Annotation
from workflows.harness.service import Event, Service, permissions
from workflows.harness.values import Value, to_text
from workflows.harness.worker import Worker, github_context

OUTPUT_MAX_BYTES = 2**20
"""Of one job's outputs. Source: https://docs.github.com/en/actions/reference/limits"""

_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Leg:
    """What one leg of a job did."""

    matrix: Mapping[str, Any]
    result: str
    log: str = ""
    annotations: tuple[Annotation, ...] = ()
    summary: str = ""
    executed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """What a job did."""

    result: str
    """success, failure, cancelled or skipped."""

    outputs: Mapping[str, str] = field(default_factory=dict)
    legs: tuple[Leg, ...] = ()
    permissions: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> str:
        """Everything that its steps said."""
        return "\n".join(leg.log for leg in self.legs)

    @property
    def summary(self) -> str:
        """What it adds to the page of the run."""
        return "".join(leg.summary for leg in self.legs)

    @property
    def annotations(self) -> list[Annotation]:
        """What GitHub shows in the files."""
        return [one for leg in self.legs for one in leg.annotations]

    @property
    def executed(self) -> list[str]:
        """The names of its steps that were not skipped."""
        return [name for leg in self.legs for name in leg.executed]


Results = dict[str, JobResult]


def run(service: Service, path: str, event: Event) -> Results:
    """Run a workflow as it stands in the commit of an event.

    Args:
        service: the repository.
        path: such as ``.github/workflows/pr.yml``.
        event: why it runs.

    Returns:
        What each job did, by its id; ``caller/job`` for those of a called workflow.
    """
    found = _read(service, path, event)
    if event.name not in found.events:
        raise DocumentError(f"{path} does not run on {event.name}")
    _check_concurrency(found, _base(service, found, event, {}))
    inputs = _inputs(found.inputs(event.name), event.inputs)
    running = _Running(service, event, found, inputs, str(next(_numbers)), None)
    return running.all()


class _Running:
    """One run of one workflow."""

    def __init__(
        self,
        service: Service,
        event: Event,
        workflow: Workflow,
        inputs: Mapping[str, Value],
        run_id: str,
        bound: Mapping[str, str] | None,
    ) -> None:
        self.service = service
        self.event = event
        self.workflow = workflow
        self.inputs = inputs
        self.run_id = run_id
        self.bound = bound
        self.results: Results = {}

    def all(self) -> Results:
        called: Results = {}
        for job in _in_order(self.workflow):
            contexts = self._contexts(job)
            if not condition(job.condition, contexts, self._status(job)):
                self.results[job.id] = JobResult(result="skipped")
            elif job.uses is not None:
                inner = self._call(job, contexts)
                called.update({f"{job.id}/{name}": one for name, one in inner.items()})
                self.results[job.id] = JobResult(result=_worst(inner.values()))
            else:
                self.results[job.id] = self._run(job, contexts)
        return {**self.results, **called}

    def _run(self, job: Job, contexts: Mapping[str, Value]) -> JobResult:
        try:
            wanted = (
                self.workflow.permissions
                if job.permissions is None
                else job.permissions
            )
            granted = permissions(wanted, self.event, self.bound)
            legs = self._legs(job, contexts)
        except (DocumentError, PermissionError) as error:
            return JobResult(result="failure", legs=(_broken(error),))
        refusal = self._refusal(job)
        if refusal:
            return JobResult(result="failure", legs=(_broken(refusal),))
        done: list[Leg] = []
        outputs: dict[str, str] = {}
        fails_fast = job.strategy.get("fail-fast", True)
        for index, leg in enumerate(legs):
            if fails_fast and any(one.result == "failure" for one in done):
                done.append(Leg(matrix=leg, result="cancelled"))
                continue
            strategy = {"job-index": index, "job-total": len(legs)}
            worker = self._worker(job, {**contexts, "strategy": strategy}, leg, granted)
            worker.run(job.steps)
            outputs.update(self._outputs(job, worker))
            done.append(_leg(worker, leg))
        return JobResult(
            result=_worst(done), outputs=outputs, legs=tuple(done), permissions=granted
        )

    def _refusal(self, job: Job) -> str | None:
        """Say why the job may not use its environment."""
        if job.environment is None:
            return None
        environment = self.service.environments.get(job.environment)
        if environment is None:
            return f"there is no environment {job.environment}"
        if self.event.ref not in environment.branches:
            return f"{self.event.ref} may not deploy to {job.environment}"
        if not environment.is_approved:
            return f"the reviewers of {job.environment} said no"
        self.service.deployments.append(job.environment)
        return None

    def _worker(
        self,
        job: Job,
        contexts: Mapping[str, Value],
        leg: Mapping[str, Any],
        granted: Mapping[str, str],
    ) -> Worker:
        folder = self.service.folder / "runners" / str(next(_numbers))
        return Worker(
            service=self.service,
            event=self.event,
            run_id=self.run_id,
            folder=folder,
            permissions=granted,
            environment=job.environment,
            cache_mode=job.raw.get("cache-mode", "write"),
            shell=job.shell or self.workflow.shell,
            contexts={
                **contexts,
                "github": github_context(self.service, self.event, granted),
                "matrix": leg,
                "secrets": self._secrets(job),
            },
            env={**self.workflow.env, **job.env},
        )

    def _secrets(self, job: Job) -> Mapping[str, str]:
        """Give no secret to a fork, and those of an environment only to its jobs."""
        if self.event.is_from_fork:
            return {}
        environment = self.service.environments.get(job.environment or "")
        return {**self.service.secrets, **(environment.secrets if environment else {})}

    def _outputs(self, job: Job, worker: Worker) -> dict[str, str]:
        found = {
            key: to_text(value)
            for key, value in worker.value(dict(job.outputs)).items()
        }
        if sum(map(len, found.values())) * 2 > OUTPUT_MAX_BYTES:
            raise DocumentError(f"the outputs of {job.id} are larger than 1 MiB")
        hidden = [*worker.masks, *self._secrets(job).values()]
        return {
            key: value
            for key, value in found.items()
            if value and not any(secret in value for secret in hidden)
        }

    def _legs(self, job: Job, contexts: Mapping[str, Value]) -> list[dict[str, Any]]:
        if "matrix" not in job.strategy:
            return [{}]
        return matrix.legs(interpolate(job.strategy["matrix"], contexts))

    def _call(self, job: Job, contexts: Mapping[str, Value]) -> Results:
        path = (job.uses or "").removeprefix("./").removeprefix("$/")
        called = _read(self.service, path, self.event)
        given = interpolate(dict(job.inputs), contexts)
        inner = _Running(
            self.service,
            self.event,
            called,
            _inputs(called.inputs("workflow_call"), given),
            self.run_id,
            permissions(
                self.workflow.permissions
                if job.permissions is None
                else job.permissions,
                self.event,
                self.bound,
            ),
        )
        return inner.all()

    def _contexts(self, job: Job) -> dict[str, Value]:
        needs = {
            name: {
                "result": self.results[name].result,
                "outputs": self.results[name].outputs,
            }
            for name in job.needs
        }
        return {
            **_base(self.service, self.workflow, self.event, self.inputs, job),
            "needs": needs,
        }

    def _status(self, job: Job) -> Functions:
        before = [self.results[name].result for name in _ancestors(self.workflow, job)]
        return {
            "success": lambda: all(result == "success" for result in before),
            "failure": lambda: "failure" in before,
            "always": lambda: True,
            "cancelled": lambda: False,
        }


def _read(service: Service, path: str, event: Event) -> Workflow:
    text = service.file(event.sha, path)
    if text is None:
        raise DocumentError(f"{path} is not in {event.sha}")
    return documents.workflow(text, path)


def _base(
    service: Service,
    workflow: Workflow,
    event: Event,
    inputs: Mapping[str, Value],
    job: Job | None = None,
) -> dict[str, Value]:
    environment = service.environments.get((job and job.environment) or "")
    local = environment.variables if environment else {}
    return {
        "github": {
            **github_context(service, event, {}),
            "token": "",
            "workflow": workflow.name,
        },
        "vars": {**service.variables, **local},
        "inputs": inputs,
    }


def _inputs(
    declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, Any]
) -> dict[str, Value]:
    unknown = set(given) - set(declared)
    if unknown:
        raise DocumentError(f"inputs {sorted(unknown)} are not declared")
    found = {}
    for name, told in declared.items():
        if told.get("required") and name not in given:
            raise DocumentError(f"the input {name} is required")
        value = given.get(name, told.get("default", ""))
        if told.get("type") == "choice" and value not in told["options"]:
            raise DocumentError(f"the input {name} is {value!r}, which is no option")
        found[name] = value
    return found


def _check_concurrency(workflow: Workflow, contexts: Mapping[str, Value]) -> None:
    """An empty group would switch concurrency off without a word."""
    told = workflow.raw.get("concurrency")
    group = told.get("group") if isinstance(told, Mapping) else told
    if group is not None and not interpolate(group, contexts):
        raise DocumentError(f"{workflow.path}: the concurrency group is empty")


def _in_order(workflow: Workflow) -> Iterator[Job]:
    waiting = dict(workflow.jobs)
    while waiting:
        ready = [job for job in waiting.values() if not set(job.needs) & set(waiting)]
        if not ready:
            raise DocumentError(f"{workflow.path}: {sorted(waiting)} need each other")
        for job in ready:
            yield waiting.pop(job.id)


def _ancestors(workflow: Workflow, job: Job) -> set[str]:
    found = set(job.needs)
    for name in job.needs:
        found |= _ancestors(workflow, workflow.jobs[name])
    return found


def _broken(reason: object) -> Leg:
    return Leg(matrix={}, result="failure", log=str(reason))


def _leg(worker: Worker, leg: Mapping[str, Any]) -> Leg:
    return Leg(
        matrix=leg,
        result="failure" if worker.has_failed else "success",
        log="\n".join(worker.log),
        annotations=tuple(worker.annotations),
        summary="".join(worker.summary),
        executed=tuple(worker.executed),
    )


def _worst(legs: Any) -> str:
    results = {leg.result for leg in legs}
    order = ("failure", "cancelled", "success", "skipped")
    return next((result for result in order if result in results), "success")
