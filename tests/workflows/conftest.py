"""Repositories on a GitHub of our own."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from workflows.harness import runner
from workflows.harness.actions import STANDARD
from workflows.harness.runner import Results
from workflows.harness.service import Environment, Event, Service, git

Toy = Callable[..., Results]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """Runs one workflow, given as a text, in a repository that has little else."""

    def run(
        text: str,
        *,
        files: Mapping[str, str] | None = None,
        is_from_fork: bool = False,
        secrets: Mapping[str, str] | None = None,
        environments: Mapping[str, Environment] | None = None,
    ) -> Results:
        work, path = tmp_path / "work", ".github/workflows/toy.yml"
        work.mkdir()
        for name, content in {path: text, **(files or {})}.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(textwrap.dedent(content), "utf-8")
        git(work, "init", "--quiet", "--initial-branch=main")
        for message in ("one", "two"):
            git(work, "add", ".")
            git(work, "commit", "--quiet", "--allow-empty", "-m", message)
        git(tmp_path, "clone", "--quiet", "--bare", str(work), "origin.git")
        service = Service(
            origin=tmp_path / "origin.git",
            folder=tmp_path,
            actions=STANDARD,
            secrets=dict(secrets or {}),
            environments=dict(environments or {}),
        )
        event = Event(
            name="push",
            sha=service.git("rev-parse", "main"),
            ref="refs/heads/main",
            payload={},
            is_from_fork=is_from_fork,
        )
        return runner.run(service, path, event)

    return run
