"""The next version, and what makes it necessary."""

import pytest

from model_servers.core.names import Version
from model_servers.core.versions import Part, next_version


@pytest.mark.parametrize(
    ("version", "part", "taken", "expected"),
    [
        ("1.0", None, [], "1.1"),
        ("1.9", None, [], "1.10"),
        ("1.0.0", None, [], "1.0.1"),
        ("1.2", Part.MAJOR, [], "2.0"),
        ("1.2.3", Part.MAJOR, [], "2.0.0"),
        ("1.2.3", Part.MINOR, [], "1.3.0"),
        ("1.2", Part.MINOR, [], "1.3"),
        ("1.2", Part.PATCH, [], "1.2.1"),
        ("1.0", None, ["1.1", "1.2"], "1.3"),
        ("1.0.0", None, ["1.0.1", "0.9.0"], "1.0.2"),
        ("1.0", Part.MAJOR, ["2.0"], "3.0"),
        ("1.0", None, ["1.0.4"], "1.1"),
    ],
)
def test_the_next_version_is_above_all_that_are_taken(version, part, taken, expected):
    released = [Version.parse(one) for one in taken]

    found = next_version(Version.parse(version), part, taken=released)

    assert found.text == expected
    assert all(found > one for one in released)
