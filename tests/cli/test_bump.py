"""``ms bump``: one line of model.yaml changes."""

import pytest

import zoo
from model_servers.cli.main import main

TEXT = """\
# yaml-language-server: $schema=../../schemas/model.schema.json
schema: 1
name: tiny # never changes
version: '1.0' # raise me
summary: "A model # for tests."
license: Apache-2.0
maintainers: ["@model-servers"]
build:
  model_file: handler_model.py
  config_file: model-config.yaml
  checkpoint_file: checkpoint.pt
"""


@pytest.fixture
def registry(tmp_path):
    zoo.make_model(tmp_path / "registry", files={"model.yaml": TEXT})
    return tmp_path / "registry"


@pytest.fixture
def ms(registry, capsys):
    def run(*arguments):
        try:
            status = main([*arguments, "--registry", str(registry)])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return int(status), captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("flags", "new"), [([], "1.1"), (["--major"], "2.0"), (["--patch"], "1.0.1")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_only_the_version_changes(ms, registry, flags, new, end):
    file = registry / "tiny" / "model.yaml"
    file.write_bytes(TEXT.replace("\n", end).encode())
    file.chmod(0o640)

    assert ms("bump", "tiny", *flags) == (0, f"tiny 1.0 -> {new}\n", "")

    text = TEXT.replace("'1.0'", f"'{new}'").replace("\n", end)
    assert file.read_bytes().decode() == text
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in file.parent.iterdir()) == [
        "checkpoint.pt",
        "golden",
        "handler_model.py",
        "model-config.yaml",
        "model.yaml",
    ]


def test_released_versions_are_skipped(ms, registry, tmp_path):
    store = ["--store", (tmp_path / "store").as_uri()]
    for text in ("'1.0'", "'1.1'"):
        (registry / "tiny" / "model.yaml").write_text(TEXT.replace("'1.0'", text))
        assert ms("publish", "tiny", *store)[0] == 0
    (registry / "tiny" / "model.yaml").write_text(TEXT)

    assert ms("bump", "tiny", *store)[1] == "tiny 1.0 -> 1.2\n"


def test_a_store_that_cannot_be_reached_is_a_note(ms, tmp_path):
    (tmp_path / "store").symlink_to("store")  # leads nowhere

    status, out, err = ms("bump", "tiny", "--store", (tmp_path / "store").as_uri())

    assert (status, out) == (0, "tiny 1.0 -> 1.1\n")
    assert err.startswith("note: released versions are not looked at: ")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TEXT.replace("'1.0'", "one"), "has no version that can be raised"),
        (TEXT.replace("'1.0' #", ">-\n  1.0.0\n#"), "in a way that is not edited"),
        ("- 1\n", "has no version that can be raised"),
        ("a: &b 1\nc: *b\n", "model.yaml:2:4: aliases are not read"),
    ],
)
def test_what_cannot_be_raised_is_told_and_left_alone(ms, registry, text, told):
    (registry / "tiny" / "model.yaml").write_text(text)

    status, out, err = ms("bump", "tiny")

    assert (status, out) == (2, "")
    assert told in err
    assert "\nhint: " in err
    assert (registry / "tiny" / "model.yaml").read_text() == text


def test_a_model_that_is_not_there_is_told_with_those_that_are(ms):
    assert ms("bump", "tinny")[2].endswith("hint: did you mean 'tiny'?\n")
