"""Every command of README.md works, and shows what it says there."""

import pytest

from docs.walk import walk

pytestmark = pytest.mark.torchserve


def test_a_model_is_made_tried_released_fetched_and_found(clone, environment):
    commands = walk("../README.md", clone, environment)

    assert commands > 7
    assert (clone / "dist" / "site" / "index.html").is_file()
