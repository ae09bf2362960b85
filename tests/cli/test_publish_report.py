"""``ms publish --report``: what ms test has told becomes part of a release."""

from __future__ import annotations

import json

import pytest

import zoo
from model_servers.cli.main import main
from reports import report_of


@pytest.fixture
def registry(tmp_path):
    zoo.make_model(tmp_path / "registry", "cat")
    zoo.make_model(tmp_path / "registry", "dog", version="2.1.0")
    return tmp_path / "registry"


@pytest.fixture
def publish(registry, tmp_path, capsys):
    def run(*arguments):
        store = (tmp_path / "store").as_uri()
        places = ["--registry", str(registry), "--store", store]
        status = main(["publish", *map(str, arguments), *places])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.err

    return run


@pytest.fixture
def report(tmp_path):
    def write(content, name="report.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def devices(tmp_path):
    """Give the devices on which each released version was tested."""
    return {
        path.parent.parent.name: [
            one["device"] for one in json.loads(path.read_text())["tested"]
        ]
        for path in (tmp_path / "store").glob("models/*/*/release.json")
    }


def test_reports_of_one_model_and_lists_of_several_are_read(
    registry, publish, report, tmp_path
):
    cat, dog = (report_of(registry, name) for name in ("cat", "dog"))
    gpu = report({**cat, "device": "gpu"}, "gpu.json")

    status, err = publish("--report", report([cat, dog]), "--report", gpu)

    assert status == 0, err
    assert devices(tmp_path) == {"cat": ["cpu", "gpu"], "dog": ["cpu"]}


def test_a_store_with_verdicts_is_sound_and_can_be_rebuilt_and_mirrored(
    registry, publish, report, tmp_path, monkeypatch
):
    monkeypatch.setenv("MODEL_SERVERS_WORK", str(tmp_path / "work"))
    publish("cat", "--report", report(report_of(registry, "cat")))
    store = ["--store", (tmp_path / "store").as_uri()]
    mirror = tmp_path / "mirror"

    assert main(["fsck", *store]) == 0
    again = ["rebuild", "cat@1.0.0", "--verify", "--registry", str(registry), *store]
    assert main(again) == 0
    assert main(["mirror", "--to", mirror.as_uri(), *store]) == 0
    [key] = (tmp_path / "store").glob("models/*/*/release.json")
    copy = mirror / key.relative_to(tmp_path / "store")
    assert copy.read_bytes() == key.read_bytes()


def test_a_folder_stands_for_the_reports_in_it(registry, publish, tmp_path):
    for name in ("cat", "dog"):
        folder = tmp_path / "reports" / f"report-{name}.json"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(report_of(registry, name)))

    status, err = publish("--report", tmp_path / "reports")

    assert status == 0, err
    assert devices(tmp_path) == {"cat": ["cpu"], "dog": ["cpu"]}


def test_a_folder_without_reports_is_not_taken_for_no_report(publish, tmp_path):
    (tmp_path / "reports").mkdir()

    status, err = publish("--report", tmp_path / "reports")

    assert (status, devices(tmp_path)) == (2, {})
    assert f"there is no report in {tmp_path / 'reports'}" in err


def test_a_plan_refuses_what_publishing_would_refuse(
    registry, publish, report, tmp_path
):
    other = report({**report_of(registry, "cat"), "inputs_digest": "ab" * 32})

    status, err = publish("cat", "--dry-run", "--report", other)

    assert status == 4
    assert "a report tells of cat@1.0.0 with other inputs: abababababab" in err
    assert "hint: test what is here: ms test cat --layout mar --report FILE" in err
    assert devices(tmp_path) == {}


def test_a_report_of_a_model_that_is_not_named_is_told(registry, publish, report):
    status, err = publish("cat", "--report", report(report_of(registry, "dog")))

    assert status == 2
    assert "a report tells of dog@2.1.0, and here are only cat@1.0.0" in err


def test_an_archive_of_others_has_no_report(registry, publish, report):
    told = report(report_of(registry, "cat"))

    status, err = publish("--mar", "cat.mar", "--report", told)

    assert status == 2
    assert "--report tells of models of the registry, and --mar releases none" in err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "report.json is not JSON"),
        ("[" * 100_000, "report.json is not JSON"),
        ('{"schema": NaN}', "NaN is no number of JSON"),
        ("[1]", "found the number 1, expected a mapping"),
        ("[]", "report.json is an empty list; expected one report, or several"),
        ('{"log": "\\ud800"}', "report.json is not JSON: 'utf-8' codec can't encode"),
        ({"schema": 2}, "schema is 2; this version reads up to 1"),
        ({"latency": 1}, "unknown key 'latency'"),
        ({"model": "../cat"}, 'model: found "../cat"'),
        ({"archive_sha256": "x"}, 'archive_sha256: found "x"'),
        ({"device": "tpu"}, 'device: found "tpu", expected one of'),
        ({"log\x1b[31m": 1}, r"unknown key 'log\x1b[31m'"),
    ],
)
def test_what_is_no_report_is_told_and_releases_nothing(
    registry, publish, report, tmp_path, content, words
):
    if isinstance(content, dict):
        content = {**report_of(registry, "cat"), **content}

    status, err = publish("cat", "--report", report(content))

    assert (status, devices(tmp_path)) == (2, {})
    assert words in err


def test_what_never_ends_is_no_report(publish, tmp_path):
    endless = tmp_path / "report.json"
    endless.symlink_to("/dev/zero")

    status, err = publish("--report", endless)

    assert (status, devices(tmp_path)) == (2, {})
    assert f"the report {endless} is larger than 64 MiB" in err


def test_a_report_that_is_not_there_is_told(publish, tmp_path):
    absent = tmp_path / "absent.json"

    status, err = publish("--report", absent)

    assert status == 2
    assert f"there is no report {absent}\nhint: write it again: ms test MODEL" in err
