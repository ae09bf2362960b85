"""The smoke job of a pull request, with the TorchServe that it starts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from workflows.forge import ROOT, Bucket, Forge
from workflows.forge import forge as forge_at

pytestmark = pytest.mark.torchserve


@pytest.fixture
def repository(tmp_path: Path, bucket: Bucket, warm: Path) -> Forge:
    """A repository without a model, in which golden requests go to a TorchServe."""
    made = forge_at(tmp_path, bucket, warm=warm, stand_ins=())
    (made.work / "registry/.keep").touch()
    made.commit()
    made.push_main()
    made.branch("topic")
    shutil.copytree(ROOT / "registry/my_network", made.work / "registry/my_network")
    return made


def test_a_model_answers_its_golden_requests_in_a_pull_request(repository: Forge):
    repository.commit()

    found = repository.pull_request(is_from_fork=True)

    assert found["gate"].result == "success", found["smoke"].log
    assert "| `my_network` 1.0 | reproduces 2 |" in found["smoke"].summary
    assert " MiB | 11" in found["smoke"].summary  # memory, then the archive's size


def test_a_wrong_answer_is_shown_beside_the_right_one(repository: Forge):
    case = repository.work / "registry/my_network/golden/zeros.yaml"
    case.write_text(case.read_text().replace("[-0.117545", "[-0.2"))
    repository.commit()

    found = repository.pull_request()

    assert (found["smoke"].result, found["gate"].result) == ("failure", "failure")
    assert "| `my_network` 1.0 | **1 of 2 wrong** |" in found["smoke"].summary
    assert "-0.1175" in found["smoke"].summary
    assert "-0.2" in found["smoke"].summary
    assert "`ms golden my_network --update`" in found["smoke"].summary
