"""``ms fsck`` as an operator sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from model_servers.cli.main import main
from zoo import make_model

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``ms fsck`` on a store with two releases."""
    registry, store = tmp_path / "registry", (tmp_path / "store").as_uri()
    for name in ("cat", "dog"):
        make_model(registry, name)
    assert main(["publish", "--registry", str(registry), "--store", store]) == 0

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        flags = ["--store", store, "--work", str(tmp_path / "work")]
        status = main(["fsck", *arguments, *flags])
        return (status, *capsys.readouterr())

    return run


def archive(tmp_path: Path, name: str) -> Path:
    (found,) = (tmp_path / "store" / "models" / name / "1.0.0").glob("*.mar")
    return found


def test_a_sound_store_takes_one_line(run: Run, tmp_path: Path) -> None:
    status, out, err = run()

    assert (status, err) == (0, "")
    assert out.startswith(f"{(tmp_path / 'store').as_uri()}: 2 checked, ")
    assert out.endswith(" hashed, no faults\n")


def test_damage_and_orphans_are_told_with_what_to_do(run: Run, tmp_path: Path) -> None:
    bad = archive(tmp_path, "dog")
    data = bytearray(bad.read_bytes())
    data[5000] ^= 1
    bad.write_bytes(data)
    (tmp_path / "store" / "notes.txt").write_text("hello")

    status, out, err = run()

    key = bad.relative_to(tmp_path / "store")
    assert status == 1
    assert f"  ! {key}: its sha256 is " in out
    assert "damaged: checkpoint.pt, bytes 4096 to 6144" in out
    assert "  ? notes.txt  5 B, nothing refers to it" in out.splitlines()
    assert f"  ! {key}: " in err


def test_a_channel_to_nothing_is_told_with_the_command_that_moves_it(
    run: Run, tmp_path: Path
) -> None:
    pointer = {
        "schema": 1,
        "channel": "stable",
        "generation": 3,
        "models": {"cat": "1.0.0", "dog": "9.0"},
    }
    channel = tmp_path / "store" / "channels" / "stable.json"
    channel.parent.mkdir()
    channel.write_text(json.dumps(pointer))

    status, out, err = run()

    told = "  ! channels/stable.json: it points to dog@9.0, which is not released"
    assert status == 1
    assert out.splitlines()[1:] == [
        told,
        "ms promote dog VERSION stable, then ms channels publish",
    ]
    assert told in err


def test_a_program_can_read_it(run: Run, tmp_path: Path) -> None:
    archive(tmp_path, "dog").unlink()

    status, out, _ = run("--json", "--sample", "2")

    report = json.loads(out)
    assert (status, report["checked"], report["remaining"]) == (1, 2, 0)
    (fault,) = report["faults"]
    assert fault["message"] == "it is not there, and a release needs it"
    assert fault["fix"].endswith(": ms mirror")


def test_a_sample_is_followed_by_the_rest(run: Run) -> None:
    first, second = run("--sample", "1")[1], run()[1]

    assert ", 1 left out, " in first
    assert ": 1 checked, " in second


def test_a_sample_of_nothing_is_refused(run: Run) -> None:
    with pytest.raises(SystemExit):
        run("--sample", "0")


def test_a_folder_that_is_not_there_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "mistyped"

    assert main(["fsck", "--store", store.as_uri()]) == 3

    err = capsys.readouterr().err
    assert f"there is no store in {store}" in err
    assert "correct --store" in err
    assert not store.exists()
