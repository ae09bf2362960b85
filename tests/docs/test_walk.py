"""A walk stops where a page and its commands differ, also in their status."""

import os

import pytest

from docs import walk

PAGE = "```console\n{}\n```\n"


@pytest.fixture
def walked(tmp_path, monkeypatch):
    """Walk through a page of these lines, and give how many commands of ms it had."""
    monkeypatch.setattr(walk, "CHECKOUT", tmp_path)
    (tmp_path / "docs").mkdir()

    def run(*lines, **options):
        (tmp_path / "docs" / "page.md").write_text(PAGE.format("\n".join(lines)))
        return walk.walk("page.md", tmp_path, os.environ, **options)

    return run


def test_a_command_may_fail_if_the_page_shows_its_status(walked):
    assert walked("$ exit 3", "$ echo $?", "3", "$ true") == 0


@pytest.mark.parametrize(
    "lines",
    [
        ("$ exit 3", "$ true"),
        ("$ exit 3",),
        ("$ exit 3", "$ echo $?", "4"),
        ("$ true", "$ echo $?", "3"),
        ("$ echo one", "two"),
    ],
)
def test_anything_else_ends_the_walk(walked, lines):
    with pytest.raises(AssertionError):
        walked(*lines)


def test_a_place_can_stand_for_the_one_on_the_page(walked):
    walked("$ echo /srv/host", "/here/host", instead={"/srv/": "/here/"})
