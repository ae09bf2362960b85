"""``ms mirror`` as an operator runs it, between two folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from model_servers.cli.main import main
from zoo import make_model


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
