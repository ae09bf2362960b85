"""``ms validate``: what a contributor and a pull request are told."""

import json

import pytest

import zoo
from model_servers.cli.main import main


@pytest.fixture
def registry(tmp_path):
    """A registry with one valid model, to be spoiled."""
    zoo.make_model(tmp_path / "registry")
    return tmp_path / "registry"


@pytest.fixture
def ms(registry, capsys):
    """Run ``ms validate`` without an import: exit status, stdout, stderr."""

    def run(*arguments):
        flags = ["--static", "--registry", str(registry)]
        try:
            status = main(["validate", *arguments, *flags])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return int(status), captured.out, captured.err

    return run


HINT = {"files": {"labels.txt": "cat"}}
ERROR = {"files": {"checkpoint.pt": None}}


def excepted(until, **more):
    exception = {"code": "MS026", "reason": "clients read it", "until": until, **more}
    return {**HINT, "model": {"exceptions": [exception]}}


def test_a_model_without_findings_is_done(ms):
    assert ms() == (0, "1 model: no findings\n", "")


def test_hints_are_shown_and_do_not_fail(ms, registry):
    zoo.make_model(registry, **HINT)

    status, out, _ = ms("tiny")

    assert status == 0
    assert out == (
        "registry/tiny/labels.txt: MS026 hint: nothing uses the file\n"
        "    fix: add labels.txt to build.extra_files, move it to training/, or delete "
        "it\n"
        "1 model: no findings, 1 hint\n"
    )


@pytest.mark.parametrize("command", ["build", "publish"])
def test_hints_stop_no_other_command(registry, tmp_path, capsys, command):
    zoo.make_model(registry, **HINT)
    arguments = ["--registry", str(registry)]
    if command == "build":
        arguments += ["tiny", "--output", str(tmp_path / "dist")]
    else:
        arguments += ["--store", (tmp_path / "store").as_uri()]

    assert main([command, *arguments]) == 0
    assert "MS026" not in capsys.readouterr().out


def test_errors_and_hints_are_counted_apart(ms, registry):
    zoo.make_model(registry, files={**HINT["files"], **ERROR["files"]})
    (registry / "tiny" / "checkpoint.pt").unlink()

    status, out, _ = ms()

    assert status == 1
    assert out.endswith("1 model: 1 finding, 1 hint\n")


def test_an_excepted_finding_is_only_counted(ms, registry):
    zoo.make_model(registry, **excepted("9999-12-31"))

    assert ms() == (0, "1 model: no findings, 1 excepted\n", "")
    assert json.loads(ms("--format", "json")[1]) == []
    assert ms("--format", "github")[1].strip() == ""


def test_an_expired_exception_fails_and_excepts_nothing(ms, registry):
    zoo.make_model(registry, **excepted("2020-01-01"))

    status, out, _ = ms()

    assert status == 1
    assert "MS005 the exception from MS026 was allowed until 2020-01-01" in out
    assert out.endswith("1 model: 1 finding, 1 hint\n")


def test_json_has_the_severity(ms, registry):
    zoo.make_model(registry, **HINT)
    zoo.make_model(registry, "wee", model={"license": None})

    status, out, _ = ms("--format", "json")

    assert status == 1
    assert [(one["code"], one["severity"]) for one in json.loads(out)] == [
        ("MS026", "hint"),
        ("MS002", "error"),
    ]


def test_github_gets_ten_of_each_kind_errors_first_and_the_number_of_the_rest(
    ms, registry
):
    for number in range(11):
        zoo.make_model(registry, f"model_{number}", config={"maxBatchDelay": 4000})
        (registry / f"model_{number}" / "checkpoint.pt").unlink()

    status, out, _ = ms("--format", "github")
    lines = out.splitlines()

    assert status == 1
    assert [line.split(" ")[0] for line in lines[:-1]] == [
        *["::error"] * 10,
        *["::notice"] * 10,
    ]
    assert lines[-1] == (
        "2 more of 11 findings, 11 hints: run `ms validate` to see them all"
    )


def test_all_is_every_model(ms, registry):
    zoo.make_model(registry, "wee")

    assert ms("--all") == (0, "2 models: no findings\n", "")


def test_all_and_names_contradict_each_other(ms):
    status, _, err = ms("--all", "tiny")

    assert status == 2
    assert "hint: leave out --all, or the names" in err


def test_static_validation_finds_the_same_in_documents(ms, registry):
    zoo.make_model(registry, **HINT)

    assert ms("--static")[1].endswith("1 model: no findings, 1 hint\n")


@pytest.mark.parametrize("code", ["MS042", "ms042"])
def test_a_code_is_explained_with_why_fix_severity_and_an_example(ms, code):
    status, out, _ = ms("--explain", code)

    assert status == 0
    assert out.startswith("MS042 error: A line of the requirements does more")
    assert "\nwhy: The requirements are installed on hosts" in out
    assert "\nfix: Name a package and its version" in out
    assert "\nexceptions: no exceptions\n" in out
    assert "\nexample:\n    -e .\n" in out


def test_a_code_is_explained_where_there_is_no_registry(capsys, tmp_path):
    nowhere = str(tmp_path / "none")

    assert main(["validate", "--explain", "MS026", "--registry", nowhere]) == 0
    assert "MS026 hint: Nothing uses a file" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        pytest.param("MS051x", "did you mean MS0", id="nearly"),
        pytest.param("E501", "docs/findings.md has all of them", id="another"),
    ],
)
def test_an_unknown_code_is_a_usage_error_with_the_nearest(ms, code, hint):
    status, _, err = ms("--explain", code)

    assert status == 2
    assert f"there is no code {code!r}" in err
    assert f"hint: {hint}" in err
