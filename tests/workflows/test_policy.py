"""Rules that keep a stranger's code away from everything that has power."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workflows.harness import documents
from workflows.harness.documents import Job, Step, Workflow
from workflows.harness.expressions import embedded

ROOT = Path(__file__).parents[2]
WORKFLOWS = {
    path.name: documents.workflow(path.read_text("utf-8"), path.name)
    for path in sorted((ROOT / ".github/workflows").glob("*.yml"))
}
ACTIONS = sorted((ROOT / ".github/actions").glob("*/action.yml"))
JOBS = [(name, job) for name, one in WORKFLOWS.items() for job in one.jobs.values()]

POWER = {"id-token", "contents", "packages", "deployments", "actions", "attestations"}
MAY_HAVE_A_CLOUD_ROLE = {
    ("release.yml", "plan"): "store-read",
    ("release.yml", "publish"): "publish",
    ("release.yml", "announce"): "store-read",
    ("channels.yml", "channels"): "channels",
    ("promote.yml", "change"): "production",
    ("nightly.yml", "store"): "store-read",
    ("pages.yml", "site"): "store-read",
    ("pages.yml", "deploy"): "github-pages",
}
"""The only jobs with ``id-token: write``, and the environments that roles trust."""

MAY_WRITE_CONTENTS = {("release.yml", "announce"), ("promote.yml", "change")}
RUNS_MODEL_CODE = re.compile(
    r"\bms (test|golden|serve|demo)\b|make (demo|test)|\.ci/run"
    r"|\bms validate\b(?!.*--static)|--import-code"
)

each_job = pytest.mark.parametrize(
    ("name", "job"), JOBS, ids=[f"{name}-{job.id}" for name, job in JOBS]
)
each_workflow = pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)


def permissions(name: str, job: Job) -> dict[str, str]:
    found = WORKFLOWS[name].permissions if job.permissions is None else job.permissions
    return dict(found or {})


def is_powerful(name: str, job: Job) -> bool:
    return any(
        level == "write" and permission in POWER
        for permission, level in permissions(name, job).items()
    )


def steps() -> Iterator[tuple[str, Step]]:
    for name, job in JOBS:
        yield from ((f"{name}: {job.id}", step) for step in job.steps)
    for path in ACTIONS:
        action = documents.action(path.read_text("utf-8"), path.name)
        yield from ((path.parent.name, step) for step in action.steps)


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a document."""
    match value:
        case dict():
            for item in value.values():
                yield from texts(item)
        case list():
            for item in value:
                yield from texts(item)
        case str():
            yield value


@each_workflow
def test_nothing_is_permitted_that_no_job_asks_for(workflow: Workflow):
    assert workflow.raw["permissions"] == {}


@each_workflow
def test_no_event_brings_foreign_code_together_with_power(workflow: Workflow):
    assert {"pull_request_target", "workflow_run", "issue_comment"}.isdisjoint(
        workflow.events
    )


def test_a_required_check_is_there_for_every_pull_request():
    events = WORKFLOWS["pr.yml"].events

    assert set(events) == {"pull_request", "merge_group"}
    assert not any(events.values())  # no filter of paths, branches or types
    gate = WORKFLOWS["pr.yml"].jobs["gate"]
    assert gate.condition == "always()"
    assert set(gate.needs) == set(WORKFLOWS["pr.yml"].jobs) - {"gate"}


@each_job
def test_a_job_of_a_pull_request_can_only_read(name: str, job: Job):
    if "pull_request" not in WORKFLOWS[name].events:
        return
    assert permissions(name, job).items() <= {("contents", "read")}
    assert job.environment is None
    assert not any("secrets." in text for text in texts(dict(job.raw)))


@each_job
def test_only_known_jobs_can_ask_for_a_cloud_role(name: str, job: Job):
    if job.uses is not None or permissions(name, job).get("id-token") != "write":
        return
    assert MAY_HAVE_A_CLOUD_ROLE.get((name, job.id), "none") == job.environment


@each_job
def test_only_known_jobs_can_write_to_the_repository(name: str, job: Job):
    if permissions(name, job).get("contents") == "write":
        assert (name, job.id) in MAY_WRITE_CONTENTS


@each_job
def test_no_job_with_power_runs_code_of_a_model_or_restores_a_cache(
    name: str, job: Job
):
    if not is_powerful(name, job) or job.uses is not None:
        return
    assert job.raw["cache-mode"] == "none"
    for step in job.steps:
        assert RUNS_MODEL_CODE.search(step.run or "") is None
        assert "actions/cache" not in (step.uses or "")
        assert step.inputs.get("cache", "false") == "false"
        if "download-artifact" in (step.uses or ""):
            assert (name, job.id, step.inputs) == (
                "release.yml",
                "publish",
                {"pattern": "report-*", "path": "${{ runner.temp }}/reports"},
            )


def test_the_rule_above_would_see_models_code():
    smoke = WORKFLOWS["release.yml"].jobs["smoke"]

    assert any(RUNS_MODEL_CODE.search(step.run or "") for step in smoke.steps)


@each_job
def test_models_code_finds_nothing_to_steal(name: str, job: Job):
    if not any(RUNS_MODEL_CODE.search(step.run or "") for step in job.steps):
        return
    assert permissions(name, job) == {"contents": "read"}
    assert not any("secrets." in text for text in texts(dict(job.raw)))
    checkouts = [s for s in job.steps if (s.uses or "").startswith("actions/checkout")]
    assert all(step.inputs["persist-credentials"] is False for step in checkouts)


@each_job
def test_every_job_has_an_end(name: str, job: Job):
    assert job.uses is not None or 0 < job.raw["timeout-minutes"] <= 120


@each_job
def test_only_a_job_that_runs_nothing_but_the_installation_fills_the_cache(
    name: str, job: Job
):
    if job.uses is not None:
        return
    if job.raw["cache-mode"] == "write":
        assert (name, job.id) == ("nightly.yml", "wheels")
        assert all(step.run is None for step in job.steps)
    else:
        assert job.raw["cache-mode"] in ("none", "read")


@each_job
def test_runs_that_write_to_the_store_wait_for_each_other(name: str, job: Job):
    if job.environment in ("publish", "channels"):
        assert job.raw["concurrency"] == {
            "group": "store",
            "cancel-in-progress": False,
            "queue": "max",
        }


@each_workflow
def test_every_workflow_names_the_bash_that_sees_a_failure_in_a_pipe(
    workflow: Workflow,
):
    scripts = [step.run for job in workflow.jobs.values() for step in job.steps]
    assert workflow.shell == "bash" or not any(scripts)


def test_no_text_of_a_stranger_is_part_of_a_script():
    """A value reaches a script by the environment, where it is a value and no more."""
    inside = [(where, step.run) for where, step in steps() if embedded(step.run or "")]

    assert inside == []


def test_every_action_is_pinned_to_a_commit_and_says_which_version_that_is():
    files = [*(ROOT / ".github/workflows").glob("*.yml"), *ACTIONS]
    lines = [
        line.strip()
        for path in files
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"\buses:", line) and "$/" not in line
    ]
    pinned = re.compile(r"(- )?uses: [\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")

    assert lines
    assert [line for line in lines if pinned.fullmatch(line) is None] == []


def test_an_action_has_one_version_everywhere():
    versions: dict[str, set[str]] = {}
    for _, step in steps():
        name, _, version = (step.uses or "").partition("@")
        versions.setdefault(name, set()).add(version)

    assert {name for name, found in versions.items() if len(found) > 1} == set()


def test_no_checkout_takes_what_its_authors_call_unsafe():
    assert not any("allow-unsafe-pr-checkout" in step.inputs for _, step in steps())


def test_dependabot_waits_before_it_takes_a_new_version():
    data = documents.load((ROOT / ".github/dependabot.yml").read_text("utf-8"))

    assert {one["package-ecosystem"] for one in data["updates"]} >= {"github-actions"}
    assert all(one["cooldown"]["default-days"] >= 7 for one in data["updates"])


LINTERS = {
    "zizmor": ["zizmor", "--offline", "--no-progress", "--quiet", ".github"],
    "the schema of workflows": [
        "check-jsonschema",
        "--builtin-schema=vendor.github-workflows",
        *sorted(f".github/workflows/{name}" for name in WORKFLOWS),
    ],
    "the schema of actions": [
        "check-jsonschema",
        "--builtin-schema=vendor.github-actions",
        *(str(path.relative_to(ROOT)) for path in ACTIONS),
    ],
    "the schema of dependabot": [
        "check-jsonschema",
        "--builtin-schema=vendor.dependabot",
        ".github/dependabot.yml",
    ],
    "actionlint": [
        "actionlint",
        "-config-file=.github/actionlint.yaml",
        *sorted(f".github/workflows/{name}" for name in WORKFLOWS),
    ],
}


@pytest.mark.parametrize("command", LINTERS.values(), ids=LINTERS)
def test_linters_have_nothing_to_say(command: list[str]):
    program, *arguments = command
    folder = Path(sys.executable).parent
    found = shutil.which(program, path=str(folder))
    if found is None:
        pytest.skip(f"{program} is not in {folder}")

    done = subprocess.run(
        [found, *arguments],
        cwd=ROOT,
        # actionlint looks for shellcheck there.
        env={"PATH": f"{folder}:/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, done.stdout), done.stdout + done.stderr
