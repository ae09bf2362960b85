"""`ms golden`: answers recorded by the model itself, and what they are worth then."""

import json

import pytest
import yaml

from model_servers.cli.main import main
from zoo import CASE, HANDLER, as_yaml, changed, make_model

UNRECORDED = changed(CASE, {"expect": None})
CHANCE = changed(UNRECORDED, {"request": {"json": [0]}})
MODEL = HANDLER.replace(
    "lambda batch: batch",
    "lambda batch: [[random.random()] if row == [0] else row for row in batch]",
).replace("from base_handler", "import random\n\nfrom base_handler")
"""Answers as it was asked, but [0] by chance."""


@pytest.fixture
def ms(tmp_path, capsys):
    """Run ``ms`` on the test's registry: exit status, stdout, stderr."""

    def run(command, *arguments):
        folders = ["--registry", f"{tmp_path}/registry", "--work", f"{tmp_path}/work"]
        status = main([command, "tiny", *arguments, *folders])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def model(tmp_path, **cases):
    files = {f"golden/{name}.yaml": as_yaml(case) for name, case in cases.items()}
    files = {"golden/case.yaml": None, "handler_model.py": MODEL, **files}
    return make_model(tmp_path / "registry", files=files)


@pytest.mark.torchserve
def test_answers_are_recorded_but_none_by_chance(ms, tmp_path):
    golden = model(tmp_path, first=UNRECORDED, chance=CHANCE, known=CASE) / "golden"

    status, out, err = ms("golden", "--update")

    chance, first, known = out.splitlines()
    assert chance.startswith("chance: unsteady: asked twice, answer[0] is 0.")
    assert (first, known) == ("first: new", "known: unchanged")
    assert "1 of 3 cases have no answer to record" in err
    assert "a random model needs a seed" in err
    assert status == 1
    assert yaml.safe_load((golden / "first.yaml").read_text()) == CASE
    assert yaml.safe_load((golden / "chance.yaml").read_text()) == CHANCE


@pytest.mark.torchserve
def test_a_recorded_case_passes_the_test_of_the_plain_archive(ms, tmp_path):
    directory = model(tmp_path)

    status, out, err = ms("golden", "--add", "second", "--body", "[1.5, 2]")

    assert (status, out) == (0, "second: new\n")
    assert err.endswith(
        "1 of 1 answers written\nhint: look at them (git diff), then: ms test tiny\n"
    )
    case = yaml.safe_load((directory / "golden" / "second.yaml").read_text())
    assert case["expect"] == {"json": [1.5, 2]}
    assert case["tolerance"].keys() == {"cpu", "gpu"}

    report = tmp_path / "report.json"
    status, out, err = ms("test", "--layout", "mar", "--report", str(report))

    assert status == 0
    assert "runs 1 of 1, reproduces 1 of 1" in out
    assert err.endswith("to ask it yourself: ms serve tiny\n")
    found = json.loads(report.read_text())
    assert (found["runs"], found["reproduces"], found["error"]) == (True, True, None)
    assert found["cases"][0]["max_absolute_error"] == 0
    assert found["measured"]["load_s"] > 0
    assert found["measured"]["latency_ms"]["p50"] > 0
    assert found["measured"]["memory_mib"] > 0

    places = [
        "--registry",
        f"{tmp_path}/registry",
        "--store",
        f"file://{tmp_path}/store",
    ]
    assert main(["publish", "tiny", "--report", str(report), *places]) == 0
    [release] = (tmp_path / "store").glob("models/*/*/release.json")
    [tested] = json.loads(release.read_text())["tested"]
    assert tested["device"] == "cpu"
    assert tested["measured"] == found["measured"]
    assert [one["case"] for one in tested["golden"]] == ["second"]


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        pytest.param(
            ["--add", "new"],
            "a new case needs a name and a request",
            "ms golden tiny --add NAME --body '[1, 2]', or --body-file FILE",
            id="a name without a request",
        ),
        pytest.param(
            ["--body", "1"],
            "a new case needs a name and a request",
            "ms golden tiny --add NAME --body '[1, 2]', or --body-file FILE",
            id="a request without a name",
        ),
        pytest.param(
            ["--add", "../up", "--body", "1"],
            "'../up' cannot name a case; expected letters, digits, . _ and -",
            "choose another name",
            id="a name that leads elsewhere",
        ),
        pytest.param(
            ["known", "--add", "new", "--body", "1"],
            "--add makes one case, and others are named too",
            "leave out the others",
            id="two wishes",
        ),
        pytest.param(
            ["--add", "known", "--body", "1"],
            "tiny has a golden case 'known'",
            "ms golden tiny known --update, or another name",
            id="a name that is taken",
        ),
        pytest.param(
            ["--add", "new", "--body", "[1,"],
            "--body is not JSON: Expecting value: line 1 column 4 (char 3)",
            "quote it: --body '[1, 2, 3]'; a request that is no JSON goes into a file:"
            " --body-file FILE",
            id="no JSON",
        ),
        pytest.param(
            ["--add", "new", "--body-file", "/none"],
            "/none cannot be read: No such file or directory",
            "correct --body-file",
            id="no file",
        ),
        pytest.param(
            ["unknown"],
            "tiny has no golden case 'unknown'",
            "cases here: known",
            id="no such case",
        ),
    ],
)
def test_what_cannot_be_done_is_told_at_once(ms, tmp_path, arguments, error, hint):
    model(tmp_path, known=CASE)

    status, out, err = ms("golden", *arguments)

    assert (status, out, err) == (2, "", f"ms: {error}\nhint: {hint}\n")


def test_a_model_without_a_case_is_told_how_to_get_one(ms, tmp_path):
    model(tmp_path)

    status, _, err = ms("golden", "--update")

    assert status == 2
    assert "tiny has no golden case" in err
    assert "ms golden tiny --add NAME" in err
