"""``ms mirror`` as an operator runs it, between two folders."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from model_servers.cli.main import main
from servers.s3 import S3Server
from zoo import checkpoint_of, make_model

TOOLS = Path(__file__).parents[2] / "tools"


def test_a_folder_gets_what_is_released(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, store = tmp_path / "registry", (tmp_path / "store").as_uri()
    other = (tmp_path / "usb stick").as_uri()
    for name in ("cat", "dog"):
        make_model(registry, name)
    assert main(["publish", "--registry", str(registry), "--store", store]) == 0
    work = ["--work", str(tmp_path / "work")]
    mirror = ["mirror", "--store", store, "--to", other, *work]
    capsys.readouterr()

    assert main([*mirror, "cat", "--dry-run"]) == 0
    assert "  + cat@1.0.0  " in capsys.readouterr().out
    assert not (tmp_path / "usb stick" / "models").exists()
    assert main([*mirror, "cat"]) == 0
    assert capsys.readouterr().out.endswith("usb stick: 1 copied, 0 there\n")
    assert main([*mirror, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "new": ["dog@1.0.0"],
        "there": ["cat@1.0.0"],
        "conflicts": [],
    }
    assert main(["fsck", "--store", other, *work]) == 0


KILLED = """\
import os, signal, sys
from model_servers.cli.main import main
left = int(sys.argv.pop(1))
def count(event, arguments):
    global left
    if event in {"open", "os.rename", "os.truncate", "os.link", "os.remove"}:
        if any(name in str(arguments[0]) for name in ("/usb/", "/work/")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
status = main(sys.argv[1:])
print(left)
sys.exit(status)
"""
"""``ms``, killed at the so many-th file; else it says how many were left."""


def test_killed_at_any_file_it_leaves_nothing_that_the_next_run_does_not_end(
    tmp_path: Path,
) -> None:
    registry, store = tmp_path / "registry", (tmp_path / "store").as_uri()
    other, work = tmp_path / "usb", tmp_path / "work"
    for version in ("1.0", "1.1"):
        weights = {"checkpoint.pt": checkpoint_of(40 * 2**20)}
        make_model(registry, "cat", version=version, files=weights)
        assert main(["publish", "--registry", str(registry), "--store", store]) == 0
    arguments = ["--store", store, "--to", other.as_uri(), "--work", str(work)]

    def mirror(kill_at: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", KILLED, str(kill_at), "mirror", *arguments],
            env={**os.environ, "PYTHONPATH": str(TOOLS)},
            capture_output=True,
            text=True,
            check=False,
        )

    steps = 10**6 - int(mirror(10**6).stdout.splitlines()[-1])
    for kill_at in random.Random(1).sample(range(1, steps), 4):
        shutil.rmtree(other)
        shutil.rmtree(work)
        assert mirror(kill_at).returncode == -signal.SIGKILL
        assert set(other.rglob("release.json")) <= set(archives_beside(other))
        assert mirror(10**6).returncode == 0
        assert main(["fsck", "--store", other.as_uri(), "--work", str(work)]) == 0
        assert len(list(other.rglob("release.json"))) == 2
        assert [path for path in (work / "mirror").rglob("*") if path.is_file()] == []


def archives_beside(folder: Path) -> Iterator[Path]:
    """Yield where a document may be, because its archive is there."""
    return (path.with_name("release.json") for path in folder.rglob("*.mar"))


def test_releases_go_into_s3_and_back_and_are_sound_there(
    tmp_path: Path, moto_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", moto_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", moto_server.secret_key)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    registry, work = tmp_path / "registry", ["--work", str(tmp_path / "work")]
    store, back = (tmp_path / "store").as_uri(), (tmp_path / "back").as_uri()
    s3, at = f"s3://releases/{uuid.uuid4().hex}", moto_server.endpoint_url
    # Larger than what is read at once, and than a part.
    weights = {"checkpoint.pt": checkpoint_of(18 * 2**20)}
    make_model(registry, "cat", files=weights)
    assert main(["publish", "--registry", str(registry), "--store", store]) == 0

    there = ["--to", s3, "--to-endpoint-url", at]
    assert main(["mirror", "--store", store, *there, *work]) == 0
    assert main(["fsck", "--store", s3, "--endpoint-url", at, *work]) == 0
    here = ["--endpoint-url", at, "--to", back]
    assert main(["mirror", "--store", s3, *here, *work]) == 0

    def models(name: str) -> dict[str, bytes]:
        folder = tmp_path / name / "models"
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in files}

    assert models("back") == models("store")
