"""What git writes is read to its end."""

import os
import shutil

import pytest

from model_servers.adapters import git
from workflows.harness.service import git as run

SLOW_GIT = """\
#!/bin/sh
{git} "$@" || exit
case " $* " in *" archive "*) head -c 1000000 /dev/zero || exit 141;; esac
"""
"""A git with more padding than a pipe holds, as one that is late with its padding."""


@pytest.fixture
def registry(tmp_path):
    (tmp_path / "registry/cat").mkdir(parents=True)
    (tmp_path / "registry/cat/model.yaml").write_text("name: cat\n")
    run(tmp_path, "init", "--quiet")
    run(tmp_path, "add", ".")
    run(tmp_path, "commit", "--quiet", "-m", "a model")
    return tmp_path / "registry"


def test_padding_that_comes_late_does_not_fail_the_export(
    registry, tmp_path, monkeypatch
):
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(SLOW_GIT.format(git=shutil.which("git")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    git.export(registry, "HEAD", {"cat"}, target=tmp_path / "copy")

    assert (tmp_path / "copy/cat/model.yaml").read_text() == "name: cat\n"
