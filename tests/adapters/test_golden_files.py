"""Golden cases on a disk: an answer goes into its file whole, or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from model_servers.adapters.golden_files import GoldenFiles
from model_servers.errors import OutsideError, RequestError

CASE = "golden/case.yaml"
TEXT = """\
schema: 1
request: {content_type: a/b, text: c} # kept
"""
ANSWERED = f"{TEXT}expect:\n  json: [1.5]\n"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny" / "golden"
    folder.mkdir(parents=True)
    (folder / "case.yaml").write_text(TEXT)
    return folder


@pytest.fixture
def files(tmp_path: Path, golden: Path) -> GoldenFiles:
    return GoldenFiles(tmp_path)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_an_answer_is_added_and_then_replaced(files: GoldenFiles, golden: Path) -> None:
    (golden / "case.yaml").chmod(0o640)

    files.record("tiny", CASE, [0.25, 7])
    files.record("tiny", CASE, [1.5])

    assert contents(golden) == {"case.yaml": ANSWERED}
    assert stat.S_IMODE((golden / "case.yaml").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("{schema: 1}", "do not begin lines", id="keys in braces"),
        pytest.param("a: 1\na: 2\n", "a", id="no YAML of ours"),
    ],
)
def test_a_file_that_cannot_take_it_stays(
    files: GoldenFiles, golden: Path, text: str, reason: str
) -> None:
    (golden / "case.yaml").write_text(text)

    with pytest.raises(OutsideError, match=reason) as caught:
        files.record("tiny", CASE, 1)

    assert "write expect: by hand" in caught.value.hint
    assert contents(golden) == {"case.yaml": text}


def test_an_answer_that_yaml_cannot_hold_is_refused(
    files: GoldenFiles, golden: Path
) -> None:
    with pytest.raises(OutsideError, match="the answer cannot be written into"):
        files.record("tiny", CASE, {"a\x00b": 1, "c": "\ud800"})

    assert contents(golden) == {"case.yaml": TEXT}


def test_a_new_case_is_complete_and_never_in_the_place_of_another(
    files: GoldenFiles, golden: Path
) -> None:
    files.add("tiny", "golden/new.yaml", TEXT, [1.5])

    with pytest.raises(RequestError, match="exists; nothing is overwritten"):
        files.add("tiny", "golden/new.yaml", TEXT, [2.5])

    assert contents(golden) == {"case.yaml": TEXT, "new.yaml": ANSWERED}


def test_the_file_of_a_request_is_kept_beside_its_case(
    files: GoldenFiles, golden: Path
) -> None:
    files.add_body("tiny", "golden/cat.png", b"cat")
    files.add_body("tiny", "golden/cat.png", b"cat")

    with pytest.raises(RequestError, match="exists; nothing is overwritten"):
        files.add_body("tiny", "golden/cat.png", b"dog")

    assert (golden / "cat.png").read_bytes() == b"cat"
