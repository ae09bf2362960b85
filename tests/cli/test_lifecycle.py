"""Versions yanked and deprecated: written in the checkout, told by the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from model_servers.cli.main import main
from zoo import make_model

Run = Callable[..., tuple[int, str, str]]
NINE = """\
schema: 1
versions:
  "9.0": {state: yanked, date: "2026-01-02", reason: a}
"""
REASON = "it answers every blurred image with 7"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``ms`` where cat 1.0.0, 1.1.0 and 1.2.0 are released."""
    flags = [
        "--registry",
        str(tmp_path / "registry"),
        "--store",
        (tmp_path / "store").as_uri(),
    ]

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([*arguments, *flags])
        return (status, *capsys.readouterr())

    for version in ("1.0.0", "1.1.0", "1.2.0"):
        make_model(tmp_path / "registry", "cat", version=version)
        assert run("publish")[0] == 0
    return run


def today() -> str:
    return datetime.now(timezone.utc).date().isoformat()


def file(tmp_path: Path, name: str = "lifecycle.yaml") -> Path:
    return tmp_path / "registry" / "cat" / name


def notices(tmp_path: Path) -> dict[str, object]:
    """Give what the store says of each version of cat."""
    index = json.loads((tmp_path / "store" / "index.json").read_text())
    versions = index["models"]["cat"]
    return {text: one["notice"] for text, one in versions.items() if "notice" in one}


def test_yanking_writes_a_file_and_the_store_tells_it(run: Run, tmp_path: Path) -> None:
    before = today()
    status, out, _ = run("yank", "cat", "1.1.0", "--reason", REASON)

    assert (status, out) == (0, "cat@1.1.0 is yanked\n")
    day = today() if today() in file(tmp_path).read_text() else before
    assert file(tmp_path).read_text() == (
        'schema: 1\nversions:\n  "1.1.0":\n    state: yanked\n'
        f'    reason: "{REASON}"\n    date: "{day}"\n'
    )
    assert run("validate", "--static")[0] == 0
    assert notices(tmp_path) == {}
    status, out, _ = run("channels", "publish", "--dry-run")
    assert f"  cat@1.1.0 is yanked on {day}: {REASON}" in out.splitlines()
    assert notices(tmp_path) == {}
    assert run("channels", "publish")[0] == 0
    said = {"state": "yanked", "reason": REASON, "date": day}
    assert notices(tmp_path) == {"1.1.0": said}
    status, out, _ = run("channels", "publish", "--json")
    assert json.loads(out) == {"channels": [], "notices": []}


def test_nothing_is_deleted_from_the_store(run: Run, tmp_path: Path) -> None:
    def released() -> dict[Path, bytes]:
        found = (tmp_path / "store" / "models").rglob("*")
        return {path: path.read_bytes() for path in found if path.is_file()}

    before = released()

    run("yank", "cat", "1.1.0", "--reason", REASON)
    run("channels", "publish")

    assert released() == before


def test_no_channel_moves_to_a_version_that_is_yanked_in_the_same_run(
    run: Run, tmp_path: Path
) -> None:
    run("yank", "cat", "1.1.0", "--reason", REASON)
    file(tmp_path, "channels.yaml").write_text(
        'schema: 1\nchannels:\n  stable: "1.1.0"\n'
    )

    for more in (["--dry-run"], []):
        status, _, err = run("channels", "publish", *more)
        assert status == 4
        assert "no channel was moved: cat@1.1.0 is yanked" in err
    assert list(notices(tmp_path)) == ["1.1.0"]
    status, out, _ = run("validate", "--static")
    assert (status, "MS073 stable points to 1.1.0, which is yanked" in out) == (1, True)


def test_yanking_names_the_channels_that_point_there(run: Run, tmp_path: Path) -> None:
    run("promote", "cat", "1.1.0", "stable")

    _, _, err = run("yank", "cat", "1.1.0", "--reason", REASON)

    assert "note: the channel stable points to 1.1.0\n" in err
    assert "hint: ms promote cat VERSION stable\n" in err


def test_a_second_notice_leaves_the_rest_of_the_file_as_it_is(
    run: Run, tmp_path: Path
) -> None:
    text = (
        "schema: 1\nversions:\n  # since the fire\n  '1.0.0': # old\n"
        "    state: deprecated\n    date: '2026-01-02'\n    reason: slow # very\n"
    )
    file(tmp_path).write_text(text)

    run("deprecate", "cat", "1.1.0", "--reason", "slow", "--replacement", "1.2.0")
    added = file(tmp_path).read_text().removeprefix(text)
    assert added.startswith('  "1.1.0":\n    state: deprecated\n    reason: "slow"\n')
    assert added.endswith('    replacement: "1.2.0"\n')

    run("yank", "cat", "1.0.0", "--reason", REASON)
    assert file(tmp_path).read_text().endswith(added)
    assert '# since the fire\n  "1.0.0":\n    state: yanked' in (
        file(tmp_path).read_text()
    )


def test_saying_the_same_again_changes_nothing(run: Run, tmp_path: Path) -> None:
    old = (
        'schema: 1\nversions:\n  "1.0.0": {state: deprecated, date: "2026-01-02", '
        "reason: slow}\n"
    )
    file(tmp_path).write_text(old)

    status, out, _ = run("deprecate", "cat", "1.0.0", "--reason", "slow")

    assert (status, out) == (0, "cat@1.0.0 stays as it was\n")
    assert file(tmp_path).read_text() == old


def test_deprecating_a_model_says_it_of_every_version_that_is_not_yanked(
    run: Run, tmp_path: Path
) -> None:
    run("yank", "cat", "1.0.0", "--reason", REASON)

    status, out, _ = run("deprecate", "cat", "--reason", "use dog")

    assert (status, out.splitlines()) == (
        0,
        [
            "cat@1.0.0 stays as it was",
            "cat@1.1.0 is deprecated",
            "cat@1.2.0 is deprecated",
        ],
    )
    run("channels", "publish")
    assert list(notices(tmp_path)) == ["1.0.0", "1.1.0", "1.2.0"]


def test_a_notice_that_is_taken_out_of_git_leaves_the_store(
    run: Run, tmp_path: Path
) -> None:
    run("yank", "cat", "1.0.0", "--reason", REASON)
    run("channels", "publish")
    file(tmp_path).unlink()

    _, out, _ = run("channels", "publish")

    assert "  cat@1.0.0 has no notice any more" in out.splitlines()
    assert notices(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["yank", "cat", "2.0.0", "--reason", "x"], 4, "cat@2.0.0 is not released"),
        (["yank", "cat", "2", "--reason", "x"], 2, "version '2' is not"),
        (["yank", "owl", "1.0.0", "--reason", "x"], 2, "there is no model 'owl'"),
        (["yank", "cat", "1.0.0", "--reason", " "], 2, "it is empty"),
        (["yank", "cat", "1.0.0", "--reason", "a\nb"], 2, "is not one line of text"),
        (["yank", "cat", "1.0.0", "--reason", "x" * 301], 2, "at most 300"),
        (
            ["deprecate", "cat", "1.0.0", "--reason", "x", "--replacement", "1.0.0"],
            2,
            "1.0.0 cannot replace itself",
        ),
        (
            ["deprecate", "cat", "1.0.0", "--reason", "x", "--replacement", "3.0"],
            4,
            "cat@3.0 is not released",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    found, _, err = run(*arguments)

    assert (found, message in err, "hint: " in err) == (status, True, True)
    assert not file(tmp_path).exists()


def test_a_file_that_cannot_be_edited_is_left_as_it_is(
    run: Run, tmp_path: Path
) -> None:
    file(tmp_path).write_text("schema: 1\nversions: {}\n")

    status, _, err = run("yank", "cat", "1.0.0", "--reason", REASON)

    assert status == 2
    assert "hint: write the notice of 1.0.0 below `versions:` yourself" in err
    assert file(tmp_path).read_text() == "schema: 1\nversions: {}\n"


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ('schema: 1\nversions: {"9.0": {state: yanked}}\n', 1, "lifecycle.yaml:2"),
        (
            NINE,
            4,
            "lifecycle.yaml speaks of what is not released: cat@9.0",
        ),
    ],
)
def test_notices_that_cannot_be_told_stop_everything(
    run: Run, tmp_path: Path, text: str, status: int, message: str
) -> None:
    file(tmp_path).write_text(text)

    found, _, err = run("channels", "publish")

    assert (found, message in err) == (status, True)
    assert notices(tmp_path) == {}
