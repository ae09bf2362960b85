"""Every command of docs/contributing-a-model.md works, and shows what it says there."""

import pytest

from docs.walk import walk

pytestmark = pytest.mark.torchserve


def test_a_contributor_gets_from_nothing_to_a_pull_request(
    clone, environment, second_terminal
):
    commands = walk(
        "contributing-a-model.md", clone, environment, start=second_terminal
    )

    assert commands < 14
