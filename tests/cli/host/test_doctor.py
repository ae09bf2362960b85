"""`ms sync doctor` sees what a host would miss only later."""

from __future__ import annotations

import json

import pytest

from model_servers.cli.main import main


@pytest.fixture
def doctor(tmp_path, capsys):
    """Ask it of a host whose profile names these files; nothing else runs there."""

    def run(**torchserve):
        (tmp_path / "model_store").mkdir()
        profile = {
            "schema": 1,
            "store": (tmp_path / "store").as_uri(),
            "model_store": str(tmp_path / "model_store"),
            "torchserve": {"management": "http://127.0.0.1:9", **torchserve},
            "models": {"snake": "latest"},
        }
        (tmp_path / "sync.yaml").write_text(json.dumps(profile))
        main(["sync", "doctor", "--json", "--profile", str(tmp_path / "sync.yaml")])
        checks = json.loads(capsys.readouterr().out)
        return {one["name"]: (one["state"], one["found"]) for one in checks}

    return run


def test_a_python_and_a_config_that_are_not_there_are_seen_before_they_are_needed(
    doctor, tmp_path
):
    python, config = tmp_path / "python", tmp_path / "config.properties"

    found = doctor(python=str(python), config=str(config))

    assert found["python"] == ("problem", f"{python} is no program that can be run")
    assert found["config"] == (
        "problem",
        f"{config} cannot be read: No such file or directory",
    )


def test_a_python_and_a_config_that_are_there_are_shown(doctor, tmp_path):
    config = tmp_path / "config.properties"
    config.write_text("model_store=/x\n")

    found = doctor(python="/bin/sh", config=str(config))

    assert found["python"] == ("ok", "/bin/sh")
    assert found["config"] == ("ok", str(config))
