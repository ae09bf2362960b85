"""``ms mirror`` as an operator runs it, between two folders."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import boto3
import pytest

from model_servers.cli.main import main
from servers.s3 import S3Server
from zoo import checkpoint_of, make_model


def test_a_folder_gets_what_is_released(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, store = tmp_path / "registry", (tmp_path / "store").as_uri()
    other = (tmp_path / "usb stick").as_uri()
    for name in ("cat", "dog"):
        make_model(registry, name)
    assert main(["publish", "--registry", str(registry), "--store", store]) == 0
    mirror = ["mirror", "--store", store, "--to", other]
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
    assert main(["fsck", "--store", other, "--work", str(tmp_path / "work")]) == 0


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

    assert main(["mirror", "--store", store, "--to", s3, "--to-endpoint-url", at]) == 0
    assert main(["fsck", "--store", s3, "--endpoint-url", at, *work]) == 0
    assert main(["mirror", "--store", s3, "--endpoint-url", at, "--to", back]) == 0

    def models(name: str) -> dict[str, bytes]:
        folder = tmp_path / name / "models"
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in files}

    assert models("back") == models("store")
