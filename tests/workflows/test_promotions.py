"""Promotions of released versions, through the committed workflows."""

from __future__ import annotations

import re

import pytest

import zoo
from workflows.forge import Forge, results


@pytest.fixture
def two_versions(forge: Forge) -> Forge:
    """cat@1.0.0 and cat@1.0.1 are released; stable points to the first."""
    model = forge.work / "registry/cat"
    for version in ("1.0.0", "1.0.1"):
        files = {"handler_model.py": f"{zoo.HANDLER}# {version}\n"}
        zoo.make_model(model.parent, "cat", version=version, files=files)
        channels = 'schema: 1\nchannels:\n  stable: "1.0.0"\n'
        (model / "channels.yaml").write_text(channels)
        forge.commit()
        forge.ms("publish")
    forge.ms("channels", "publish")
    forge.push_main()
    return forge


def stable(repository: Forge) -> str:
    text = repository.service.file("main", "registry/cat/channels.yaml")
    return re.search(r'stable: "(.*)"', text)[1]


def test_a_promotion_is_applied_and_taken_back_with_the_older_version(
    two_versions: Forge, pointer
):
    promoted = two_versions.dispatch(
        "promote.yml", model="cat", version="1.0.1", channel="stable", how="apply"
    )

    assert results(promoted) == dict.fromkeys(
        ("change", "channels", "channels/channels"), "success"
    )
    assert (stable(two_versions), pointer("stable")["models"]) == (
        "1.0.1",
        {"cat": "1.0.1"},
    )

    two_versions.dispatch(
        "promote.yml", model="cat", version="1.0.0", channel="stable", how="apply"
    )

    assert (stable(two_versions), pointer("stable")["models"]) == (
        "1.0.0",
        {"cat": "1.0.0"},
    )
    assert pointer("stable")["generation"] == 3


def test_a_promotion_by_pull_request_moves_the_channel_when_it_is_merged(
    two_versions: Forge, pointer
):
    found = two_versions.dispatch(
        "promote.yml", model="cat", version="1.0.1", channel="stable"
    )

    assert results(found)["change"] == "success"
    assert pointer("stable")["models"] == {"cat": "1.0.0"}
    branch = (two_versions.service.folder / "opened").read_text()
    assert branch == "promote/cat-stable-1.0.1"

    two_versions.take(branch)
    checks = two_versions.pull_request()
    assert checks["gate"].result == "success", "".join(
        job.log for job in checks.values()
    )
    two_versions.merge()
    two_versions.release()

    assert pointer("stable")["models"] == {"cat": "1.0.1"}


def test_a_promotion_to_what_is_not_released_changes_nothing(two_versions: Forge):
    before = two_versions.service.git("rev-parse", "main")

    found = two_versions.dispatch(
        "promote.yml", model="cat", version="9.9.9", channel="stable", how="apply"
    )

    assert results(found)["change"] == "failure"
    assert "cat@9.9.9" in found["change"].log
    assert two_versions.service.git("rev-parse", "main") == before


def test_a_promotion_that_nobody_approved_does_not_begin(two_versions: Forge):
    two_versions.refuse("production")

    found = two_versions.dispatch(
        "promote.yml", model="cat", version="1.0.1", channel="stable", how="apply"
    )

    assert "said no" in found["change"].log
    assert stable(two_versions) == "1.0.0"
