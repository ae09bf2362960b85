"""Channels as the command line moves them."""

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
    flags = ["--registry", str(tmp_path / "registry"), "--store", store_of(tmp_path)]

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([*arguments, *flags])
        return (status, *capsys.readouterr())

    return run


def store_of(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri()


def write(tmp_path: Path, said: str, *, version: str = "1.0.0") -> None:
    make_model(
        tmp_path / "registry", "cat", version=version, files={"channels.yaml": said}
    )


def said(version: str) -> str:
    return f'schema: 1\nchannels:\n  stable: "{version}"\n'


def test_a_channel_moves_forward_and_back_as_the_file_says(
    run: Run, tmp_path: Path
) -> None:
    for version in ("1.0.0", "1.1.0"):
        write(tmp_path, said(version), version=version)
        assert run("publish")[0] == 0
        assert run("channels", "publish")[0] == 0
    write(tmp_path, said("1.0.0"), version="1.1.0")

    status, planned, _ = run("channels", "publish", "--dry-run")
    assert status == 0
    assert planned.splitlines() == [
        f"{store_of(tmp_path)}: 1 to move",
        "",
        "  stable  generation 3",
        "      cat 1.1.0 -> 1.0.0",
    ]
    status, done, _ = run("channels", "publish", "--json")
    assert (status, json.loads(done)) == (
        0,
        [
            {
                "channel": "stable",
                "generation": 3,
                "models": {"cat": {"before": "1.1.0", "after": "1.0.0"}},
            }
        ],
    )
    status, nothing, _ = run("channels", "publish")
    assert (status, nothing) == (0, f"{store_of(tmp_path)}: nothing moved\n")


def test_a_version_that_is_not_released_is_refused(run: Run, tmp_path: Path) -> None:
    write(tmp_path, said("2.0.0"))

    status, _, err = run("channels", "publish")

    assert status == 4
    assert "no channel was moved: cat@2.0.0 is not released" in err


def test_promoting_changes_one_line_and_keeps_the_rest(
    run: Run, tmp_path: Path
) -> None:
    text = "schema: 1\nchannels:\n  # for everybody\n  stable: '1.0.0'  # since May\n"
    for version in ("1.0.0", "1.1.0"):
        write(tmp_path, text, version=version)
        run("publish")
    file = tmp_path / "registry" / "cat" / "channels.yaml"

    status, out, _ = run("promote", "cat", "1.1.0", "stable")
    assert (status, out) == (0, "cat stable 1.0.0 -> 1.1.0\n")
    assert file.read_text() == text.replace("1.0.0", "1.1.0")
    status, out, _ = run("promote", "cat", "1.1.0", "stable")
    assert (status, out) == (0, "cat stable points to 1.1.0 already\n")
    status, out, _ = run("promote", "cat", "1.0.0", "canary")
    assert (status, out) == (0, "cat canary nowhere -> 1.0.0\n")
    assert file.read_text() == (f'{text.replace("1.0.0", "1.1.0")}  canary: "1.0.0"\n')


def test_the_first_promotion_makes_the_file(run: Run, tmp_path: Path) -> None:
    directory = make_model(tmp_path / "registry", "cat")
    run("publish")

    assert run("promote", "cat", "1.0.0", "stable")[0] == 0
    assert (directory / "channels.yaml").read_text() == said("1.0.0")
    assert run("channels", "publish")[0] == 0


@pytest.mark.parametrize(
    ("version", "channel", "status", "message"),
    [
        ("2.0.0", "stable", 4, "cat@2.0.0 is not released"),
        ("2", "stable", 2, "version '2' is not MAJOR.MINOR[.PATCH]"),
        ("1.0.0", "latest", 2, "'latest' is no channel that can be moved"),
        ("1.0.0", "a/b", 2, "'a/b' is no channel that can be moved"),
    ],
)
def test_a_promotion_that_cannot_be_is_refused_and_writes_nothing(
    run: Run, tmp_path: Path, version: str, channel: str, status: int, message: str
) -> None:
    write(tmp_path, said("1.0.0"))
    run("publish")

    found, _, err = run("promote", "cat", version, channel)

    assert (found, message in err, "hint: " in err) == (status, True, True)
    file = tmp_path / "registry" / "cat" / "channels.yaml"
    assert file.read_text() == said("1.0.0")


@pytest.mark.parametrize(
    "text",
    [
        "schema: 1\nchannels: {}\n",
        "schema: 1\nchannels:\n  stable: |-\n    1.0.0\n",
        "schema: 1\n",
    ],
)
def test_what_cannot_be_edited_is_left_as_it_is(
    run: Run, tmp_path: Path, text: str
) -> None:
    write(tmp_path, said("1.0.0"))
    run("publish")
    write(tmp_path, text)

    status, _, err = run("promote", "cat", "1.0.0", "stable")

    assert status == 2
    assert 'hint: write `stable: "1.0.0"` below `channels:` yourself' in err
    assert (tmp_path / "registry" / "cat" / "channels.yaml").read_text() == text


def test_findings_in_a_channels_file_stop_everything(run: Run, tmp_path: Path) -> None:
    write(tmp_path, 'schema: 1\nchannels: {stable: "one"}\n')

    status, _, err = run("channels", "publish")

    assert status == 1
    assert "registry/cat/channels.yaml:2" in err


def test_validate_finds_what_is_wrong_in_a_channels_file(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, 'schema: 1\nchannels: {latest: "1.0.0"}\n')

    status = main(["validate", "--static", "--registry", str(tmp_path / "registry")])

    assert status == 1
    assert "the channel latest is always the highest" in capsys.readouterr().out
