"""Every command of docs/releasing.md works, and shows what it says there."""

from docs.walk import walk


def test_releases_are_made_moved_and_looked_after(clone, environment):
    commands = walk("releasing.md", clone, environment)

    assert commands > 10
