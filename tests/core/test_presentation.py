"""Findings as they are shown: what they repeat of a stranger does no harm."""

from dataclasses import replace

import pytest

from model_servers.core.codes import Code
from model_servers.core.findings import Finding
from model_servers.core.presentation import presentable

ONE = Finding(path="registry/tiny/a.txt", code=Code.TWIN, message="it is wrong")


def shown(**changes):
    (only,) = presentable([replace(ONE, **changes)])
    return only


@pytest.mark.parametrize("part", ["path", "where", "message", "fix"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("größe 模型", "größe 模型", id="any script"),
        pytest.param("a\n::error::b", "a\\n::error::b", id="a forged line"),
        pytest.param("a\x1b[31m", "a\\x1b[31m", id="a terminal's escape"),
        pytest.param("a\udcff", "a\\udcff", id="no character"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(part, text, expected):
    assert getattr(shown(**{part: text}), part) == expected


@pytest.mark.parametrize("part", ["where", "message", "fix"])
def test_long_texts_are_cut(part):
    assert len(getattr(shown(**{part: "a" * 10_000}), part)) == 501


def test_findings_come_by_file_and_place():
    later = replace(ONE, path="registry/tiny/b.txt")
    second = replace(ONE, line=2)

    assert presentable([later, second, ONE]) == [ONE, second, later]


def test_what_is_excepted_does_not_crowd_out_what_is_not():
    excepted = [replace(ONE, line=i, excepted_because="old") for i in range(1, 100)]
    wrong = replace(ONE, line=200)

    result = presentable([*excepted, wrong])

    assert [one for one in result if one.is_error] == [wrong]
    assert len(result) == 22
