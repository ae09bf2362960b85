"""What a GitHub release says of a version."""

import pytest

from model_servers.core.names import Ref, Version
from model_servers.core.notes import notes, section
from model_servers.core.release import Archive, Release

CHANGELOG = """\
# Changelog

## [1.10.0] - 2026-03-01

Better.

### Details

- one

## v1.1.0

First.
"""


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("1.10.0", "Better.\n\n### Details\n\n- one"),
        ("1.1.0", "First."),
        ("1.1", ""),
        ("2.0", ""),
    ],
)
def test_a_version_has_the_section_under_its_heading(version, text):
    assert section(CHANGELOG, Version.parse(version)) == text


def test_the_notes_have_what_changed_and_what_to_check_it_with():
    release = Release(
        ref=Ref.parse("cat@1.1.0"),
        archive=Archive(
            size_bytes=7, sha256="ab" * 32, framing_blake3="cd" * 32, members=()
        ),
        inputs_digest="cd" * 32,
        git_commit="ef" * 20,
        toolchain={"writer": "1"},
        resources={},
    )

    assert notes(release, CHANGELOG).startswith("First.\n\n|")
    assert f"| sha256 | `{'ab' * 32}` |" in notes(release, CHANGELOG)
    assert notes(release, "").startswith("| | |")
