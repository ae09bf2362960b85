"""A released archive can be made again from git, byte for byte."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.releases import StoredReleases
from model_servers.cli.main import main
from model_servers.core.names import Ref
from model_servers.core.release import Release, release_key
from zoo import HANDLER, make_model

Run = Callable[..., tuple[int, str, str]]
CAT = Ref.parse("cat@1.0.0")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``ms rebuild`` where cat 1.0.0 is released, and git has gone on."""
    make_model(tmp_path / "registry", "cat")
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    flags = [
        "--registry",
        str(tmp_path / "registry"),
        "--store",
        (tmp_path / "store").as_uri(),
    ]
    assert main(["publish", *flags]) == 0
    changed = {"handler_model.py": f"# changed\n{HANDLER}"}
    make_model(tmp_path / "registry", "cat", version="1.1.0", files=changed)
    commit(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["rebuild", *arguments, *flags])
        return (status, *capsys.readouterr())

    return run


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    subprocess.run(command, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "registry")
    git(folder, "commit", "--quiet", "-m", "a version")


def change_release(tmp_path: Path, change: Callable[[Release], Release]) -> None:
    """Let the store say that the release was made differently."""
    store = LocalStore(tmp_path / "store")
    release = StoredReleases(store).find(CAT)
    assert release is not None
    path = tmp_path / "store" / release_key(CAT)
    path.write_bytes(change(release).to_bytes())


def test_an_archive_is_made_again_although_the_checkout_has_gone_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    status, out, err = run("cat@1.0.0", "--verify")

    assert (status, err) == (0, "")
    assert out.startswith("cat@1.0.0  ")
    assert out.endswith("  is the released one, byte for byte\n")
    assert not (tmp_path / "dist").exists()


def test_a_release_of_what_is_in_no_commit_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_model(tmp_path / "registry", "cat")
    git(tmp_path, "init", "--quiet")
    flags = ["--registry", str(tmp_path / "registry")]
    note = "note: no commit has the registry as it is"

    def told(store: str) -> str:
        assert main(["publish", *flags, "--store", (tmp_path / store).as_uri()]) == 0
        return capsys.readouterr().err

    assert note in told("store")
    assert note not in told("store"), "nothing is released"
    commit(tmp_path)
    assert note not in told("other")


def test_the_archive_is_kept_where_it_is_wanted(run: Run, tmp_path: Path) -> None:
    assert run("cat@1.0.0", "-o", str(tmp_path / "out"))[0] == 0

    (released,) = (tmp_path / "store" / "models" / "cat" / "1.0.0").glob("*.mar")
    rebuilt = tmp_path / "out" / "cat-1.0.0.mar"
    assert rebuilt.read_bytes() == released.read_bytes()


def test_another_handler_and_toolchain_are_named(run: Run, tmp_path: Path) -> None:
    def other(release: Release) -> Release:
        archive = release.archive
        members = tuple(
            replace(one, sha256="0" * 64) if one.path == "base_handler.py" else one
            for one in archive.members
        )
        return replace(
            release,
            archive=replace(archive, sha256="0" * 64, members=members),
            toolchain={"handler_sha256": "f" * 64, "model_servers": "0.0.1"},
        )

    change_release(tmp_path, other)

    status, out, _ = run("cat@1.0.0", "--verify", "--json")

    found = json.loads(out)
    assert status == 1
    assert found["released_sha256"] == "0" * 64
    handler, file, tool = found["differences"]
    assert handler.startswith("handler: ffffffffffff was released, ")
    assert file == "handler: base_handler.py"
    assert tool.startswith("toolchain: model_servers 0.0.1 was released, ")


def test_other_inputs_are_named(run: Run, tmp_path: Path) -> None:
    """A release without a commit is built from the checkout, which has gone on."""
    change_release(tmp_path, lambda release: replace(release, git_commit=None))
    changed = {"handler_model.py": f"# changed\n{HANDLER}"}
    make_model(tmp_path / "registry", "cat", files=changed)

    status, out, err = run("cat@1.0.0", "--verify")

    assert (status, out.splitlines()[1:]) == (1, ["  inputs: handler_model.py"])
    assert "note: cat@1.0.0 names no commit" in err


def test_another_way_of_writing_is_named(run: Run, tmp_path: Path) -> None:
    def other(release: Release) -> Release:
        return replace(release, archive=replace(release.archive, sha256="0" * 64))

    change_release(tmp_path, other)

    status, out, _ = run("cat@1.0.0", "--verify")

    assert status == 1
    assert out.splitlines()[1:] == [
        "  toolchain: the same members are written in another way"
    ]


def test_another_version_in_the_checkout_is_refused(run: Run, tmp_path: Path) -> None:
    change_release(tmp_path, lambda release: replace(release, git_commit=None))

    status, _, err = run("cat@1.0.0", "--verify")

    assert (status, "the model is cat@1.1.0 there" in err) == (4, True)


@pytest.mark.parametrize(
    ("ref", "status", "message"),
    [
        ("cat@2.0.0", 4, "cat@2.0.0 is not released"),
        ("cat", 2, "'cat' is not NAME@VERSION"),
    ],
)
def test_what_is_not_released_cannot_be_made_again(
    run: Run, ref: str, status: int, message: str
) -> None:
    found, _, err = run(ref, "--verify")

    assert (found, message in err, "hint: " in err) == (status, True, True)


def test_a_commit_that_git_does_not_have_is_told(run: Run, tmp_path: Path) -> None:
    change_release(tmp_path, lambda release: replace(release, git_commit="ab" * 20))

    status, _, err = run("cat@1.0.0", "--verify")

    assert status == 2
    assert "git knows no commit abababa" in err
    assert "hint: git fetch --unshallow" in err
