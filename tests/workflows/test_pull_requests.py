"""Pull requests, through the committed pr.yml."""

from __future__ import annotations

import shutil

import pytest

import zoo
from workflows.forge import Forge, results

SKIPPED = {"tool": "skipped"}
ALL_GOOD = dict.fromkeys(("plan", "validate", "build", "smoke", "gate"), "success")


@pytest.fixture
def repository(forge: Forge) -> Forge:
    """Two models on main, and a branch to work in."""
    zoo.make_model(forge.work / "registry", "cat")
    zoo.make_model(forge.work / "registry", "dog", version="2.1.0")
    forge.commit()
    forge.push_main()
    forge.branch("topic")
    return forge


def test_a_new_model_passes_every_job(repository: Forge):
    zoo.make_model(repository.work / "registry", "fox")
    repository.commit()

    found = repository.pull_request()

    assert results(found) == {**ALL_GOOD, **SKIPPED}
    assert "### `fox` 1.0.0, new: no version is at " in found["validate"].summary
    assert "| `fox` 1.0.0 | reproduces 1 | 2.2 s |" in found["smoke"].summary
    artifacts = repository.service.folder / "artifacts"
    assert [path.name for path in artifacts.rglob("*.mar")] == ["fox-1.0.0.mar"]


def test_code_without_a_new_version_is_refused_with_the_next_command(repository: Forge):
    (repository.work / "registry/cat/handler_model.py").write_text(
        f"{zoo.HANDLER}# faster\n"
    )
    repository.commit()

    found = repository.pull_request()

    assert results(found) == {
        "plan": "success",
        "validate": "failure",
        "build": "skipped",
        "smoke": "skipped",
        "tool": "skipped",
        "gate": "failure",
    }
    (shown,) = found["validate"].annotations
    assert shown.kind == "error"
    assert shown.properties["file"] == "registry/cat/model.yaml"
    assert "fix: raise it to 1.0.1: `ms bump cat`" in shown.message
    assert "The version must be raised, for `handler_model.py`" in (
        found["validate"].summary
    )


def test_a_readme_needs_no_new_version(repository: Forge):
    (repository.work / "registry/dog/README.md").write_text("# Dog\n")
    repository.commit()

    found = repository.pull_request()

    assert results(found) == {**ALL_GOOD, **SKIPPED}
    assert "fetches 0 B of" in found["validate"].summary


def test_a_deleted_model_is_told_and_nothing_is_built(repository: Forge):
    shutil.rmtree(repository.work / "registry/cat")
    repository.commit()

    found = repository.pull_request()

    assert results(found) == {
        **dict.fromkeys(("plan", "validate", "gate"), "success"),
        **dict.fromkeys(("build", "smoke", "tool"), "skipped"),
    }
    assert "`cat` is deleted. Its releases stay" in found["validate"].summary


def test_a_change_of_a_document_runs_the_tests_of_the_tool_only(repository: Forge):
    script = repository.work / ".ci/run"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho 3 passed, 0 failed\n")
    script.chmod(0o755)
    (repository.work / "docs.md").write_text("# Text\n")
    repository.commit()

    found = repository.pull_request()

    assert results(found) == {
        **dict.fromkeys(("plan", "tool", "gate"), "success"),
        **dict.fromkeys(("validate", "build", "smoke"), "skipped"),
    }
    assert "3 passed" in found["tool"].log


def test_the_gate_falls_with_the_tests_of_the_tool(repository: Forge):
    script = repository.work / ".ci/run"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    repository.commit()

    found = repository.pull_request()

    assert (found["tool"].result, found["gate"].result) == ("failure", "failure")


def test_a_fork_gets_the_same_verdict_without_a_secret(repository: Forge):
    repository.service.secrets["KEY"] = "s3cret"
    zoo.make_model(repository.work / "registry", "fox")
    repository.commit()

    found = repository.pull_request(is_from_fork=True)

    assert results(found) == {**ALL_GOOD, **SKIPPED}
    granted = {tuple(job.permissions.items()) for job in found.values()}
    assert granted == {(("contents", "read"),), ()}


@pytest.mark.parametrize("name", ["$(touch pwned)", "a b;echo any=true", "x\nany=true"])
def test_a_hostile_directory_ends_in_the_plan(repository: Forge, name: str):
    zoo.make_model(repository.work / "registry", name)
    repository.commit()

    found = repository.pull_request()

    assert (found["plan"].result, found["gate"].result) == ("failure", "failure")
    assert "cannot name a model" in found["plan"].log
    assert found["plan"].outputs == {}
    assert not list(repository.service.folder.rglob("pwned"))


def test_a_wrong_golden_answer_stops_at_the_smoke_test(repository: Forge):
    zoo.make_model(repository.work / "registry", "fox")
    repository.break_golden("fox")
    repository.commit()

    found = repository.pull_request()

    assert (found["smoke"].result, found["gate"].result) == ("failure", "failure")
    assert "wrong** |" in found["smoke"].summary
    assert "`ms golden fox --update`" in found["smoke"].summary


def test_a_merge_queue_runs_the_same_checks(repository: Forge):
    zoo.make_model(repository.work / "registry", "fox")
    repository.commit()

    found = repository.queue()

    assert results(found) == {**ALL_GOOD, **SKIPPED}
