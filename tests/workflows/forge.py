"""A repository of models on a GitHub of our own, with people who work in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from workflows.harness import runner
from workflows.harness.actions import STANDARD, aws_credentials
from workflows.harness.runner import Results
from workflows.harness.service import Environment, Event, Service, git

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
_TRACKED = (".github", ".gitignore", "Makefile", "constraints.txt", "pyproject.toml")
"""Of this repository: what the workflows need beside the models."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """The store that a repository releases into."""

    url: str
    endpoint_url: str
    keys: Mapping[str, str]
    """The environment variables of who may use it."""


@dataclass(kw_only=True)
class Forge:
    """Acts as people do: branches, commits, pull requests, merges, dispatches."""

    service: Service
    work: Path
    """A clone that may push everything."""

    bucket: Bucket
    pulls: int = 0

    def branch(self, name: str) -> None:
        """Begin a branch at main."""
        git(self.work, "checkout", "--quiet", "-B", name, "main")

    def commit(self, message: str = "a change") -> str:
        """Commit everything."""
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "-m", message)
        return git(self.work, "rev-parse", "HEAD")

    def break_golden(self, model: str) -> None:
        """Let a golden case expect what no model here answers."""
        path = next((self.work / "registry" / model / "golden").glob("*.yaml"))
        case = yaml.safe_load(path.read_text("utf-8"))
        case["expect"]["json"] = [7, 7]
        path.write_text(yaml.safe_dump(case), "utf-8")

    def pull_request(self, *, is_from_fork: bool = False) -> Results:
        """Open a pull request of the current branch, and run its checks."""
        self.pulls += 1
        head = git(self.work, "rev-parse", "HEAD")
        base = git(self.work, "rev-parse", "main")
        git(self.work, "checkout", "--quiet", "--detach", base)
        git(self.work, "merge", "--quiet", "--no-ff", "-m", "merge", head)
        merged = git(self.work, "rev-parse", "HEAD")
        ref = f"refs/pull/{self.pulls}/merge"
        git(self.work, "push", "--quiet", "origin", f"{merged}:{ref}")
        git(self.work, "checkout", "--quiet", "--detach", head)
        pull = {"number": self.pulls, "base": {"sha": base}, "head": {"sha": head}}
        return self.run(
            "pr.yml",
            Event(
                name="pull_request",
                sha=merged,
                ref=ref,
                payload={"pull_request": pull},
                is_from_fork=is_from_fork,
            ),
        )

    def merge(self) -> str:
        """Merge the current branch into main; its workflow is another call."""
        head = git(self.work, "rev-parse", "HEAD")
        git(self.work, "checkout", "--quiet", "main")
        git(self.work, "merge", "--quiet", "--no-ff", "-m", "merge", head)
        git(self.work, "push", "--quiet", "origin", "main")
        return git(self.work, "rev-parse", "main")

    def push_main(self) -> None:
        """Bring main to GitHub."""
        git(self.work, "push", "--quiet", "origin", "main")

    def take(self, branch: str) -> None:
        """Work on a branch that somebody else has pushed."""
        git(self.work, "fetch", "--quiet", "origin", branch)
        git(self.work, "checkout", "--quiet", "-B", branch, "FETCH_HEAD")

    def queue(self) -> Results:
        """Put the current branch into the merge queue."""
        head = git(self.work, "rev-parse", "HEAD")
        base = git(self.work, "rev-parse", "main")
        ref = "refs/heads/gh-readonly-queue/main/pr-1"
        git(self.work, "push", "--quiet", "origin", f"{head}:{ref}")
        group = {"base_sha": base, "head_sha": head}
        payload = {"merge_group": group}
        return self.run(
            "pr.yml", Event(name="merge_group", sha=head, ref=ref, payload=payload)
        )

    def refuse(self, environment: str) -> None:
        """Let the reviewers of an environment say no from now on."""
        environments = self.service.environments
        environments[environment] = replace(
            environments[environment], is_approved=False
        )

    def release_from(self, ref: str, sha: str) -> Results:
        """Run the release as a push to another branch would, if that started it."""
        return self.run("release.yml", Event(name="push", sha=sha, ref=ref, payload={}))

    def release(self, sha: str | None = None) -> Results:
        """Run what a push to main starts."""
        at = sha or self.service.git("rev-parse", "main")
        event = Event(name="push", sha=at, ref="refs/heads/main", payload={})
        return self.run("release.yml", event)

    def dispatch(self, workflow: str, **inputs: str) -> Results:
        """Start a workflow by hand, on main."""
        at = self.service.git("rev-parse", "main")
        event = Event(
            name="workflow_dispatch",
            sha=at,
            ref="refs/heads/main",
            payload={"inputs": inputs},
        )
        return self.run(workflow, event)

    def run(self, workflow: str, event: Event) -> Results:
        """Run a workflow as it stands in the commit of an event."""
        return runner.run(self.service, f".github/workflows/{workflow}", event)

    def ms(self, *arguments: str) -> None:
        """Do by hand what a workflow would have done long ago."""
        environment = {
            **os.environ,
            **self.bucket.keys,
            "AWS_REGION": "us-east-1",
            "MODEL_SERVERS_STORE": self.bucket.url,
            "MODEL_SERVERS_ENDPOINT_URL": self.bucket.endpoint_url,
            "PYTHONPATH": str(ROOT / "tools"),
        }
        command = [sys.executable, "-m", "model_servers", *arguments]
        subprocess.run(command, cwd=self.work, env=environment, check=True)

    def releases(self) -> dict[str, Any]:
        """Give what GitHub shows under releases, by tag."""
        folder = self.service.folder / "releases"
        found = map(json.loads, (p.read_text() for p in sorted(folder.glob("*.json"))))
        return {one["tag"]: one for one in found}

    def commands(self) -> Iterator[Mapping[str, Any]]:
        """Yield every ``ms`` that was started, in order."""
        log = self.service.folder / "ms.log"
        for line in log.read_text().splitlines() if log.exists() else ():
            yield json.loads(line)


def results(found: Results) -> dict[str, str]:
    """Give the result of each job."""
    return {name: job.result for name, job in found.items()}


def forge(
    folder: Path, bucket: Bucket, *, warm: Path, stand_ins: tuple[str, ...]
) -> Forge:
    """Make a repository with our workflows and no models, already on GitHub."""
    work = folder / "work"
    work.mkdir()
    for name in _TRACKED:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, work / name)
    (work / "registry").mkdir()
    environment = _environment(folder, warm, stand_ins)
    git(work, "init", "--quiet", "--initial-branch=main")
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(work, "remote", "add", "origin", str(folder / "origin.git"))
    service = Service(
        origin=folder / "origin.git",
        folder=folder,
        actions={**STANDARD, _AWS: aws_credentials(_roles(bucket))},
        prepare=_Installed(environment),
        tools=(_programs(folder, environment),),
        variables={
            "MODEL_SERVERS_STORE": bucket.url,
            "MODEL_SERVERS_ENDPOINT_URL": bucket.endpoint_url,
            "AWS_REGION": "us-east-1",
            "CATALOGUE": "pages",
        },
        environments={
            **{
                name: Environment(variables={"AWS_ROLE": f"role-{name}"})
                for name in _ROLES
            },
            "github-pages": Environment(),
        },
    )
    return Forge(service=service, work=work, bucket=bucket)


_AWS = "aws-actions/configure-aws-credentials"
_ROLES = ("store-read", "publish", "channels", "production")


def _roles(bucket: Bucket) -> dict[str, tuple[str | None, Mapping[str, str]]]:
    return {f"role-{name}": (name, bucket.keys) for name in _ROLES}


def _programs(folder: Path, environment: Mapping[str, str]) -> Path:
    """Write the programs of the runner's image; they know whose they are."""
    programs = folder / "programs"
    programs.mkdir()
    _script(programs / "gh", environment, PROGRAMS / "gh")
    return programs


@contextmanager
def warm_tool() -> Iterator[Path]:
    """Keep the tool imported for as long as the block takes; give where it listens."""
    with tempfile.TemporaryDirectory(prefix="ms-warm-") as temp:
        socket = Path(temp, "socket")
        command = [sys.executable, str(PROGRAMS / "warm"), str(ROOT), str(socket)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"warm\n"
            yield socket
            process.kill()


@dataclass(frozen=True)
class _Installed:
    """What ``make setup`` has done in a checkout, without asking a package index."""

    environment: Mapping[str, str]

    def __call__(self, workspace: Path) -> None:
        binaries = workspace / ".venv" / "bin"
        binaries.mkdir(parents=True)
        _script(binaries / "ms", self.environment, PROGRAMS / "ms")
        (binaries / "python").symlink_to(sys.executable)
        (workspace / ".venv" / ".installed").touch()


def _environment(
    folder: Path, warm: Path, stand_ins: tuple[str, ...]
) -> Mapping[str, str]:
    return {
        "HARNESS_FOLDER": str(folder),
        "HARNESS_ORIGIN": str(folder / "origin.git"),
        "HARNESS_WARM": str(warm),
        "HARNESS_STAND_INS": " ".join(stand_ins),
    }


def _script(path: Path, environment: Mapping[str, str], program: Path) -> None:
    lines = [f"export {key}='{value}'" for key, value in environment.items()]
    command = f'exec {sys.executable} -I -S {program} "$@"'
    path.write_text("\n".join(["#!/bin/sh", *lines, command, ""]))
    path.chmod(0o755)
