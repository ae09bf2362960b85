"""The host profile in the documentation is one that can be used."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from model_servers.adapters import documents
from model_servers.cli.parser import parser
from model_servers.core.profile import HostProfile, Policy, WantedModel

DOCUMENT = Path(__file__).parents[2] / "docs" / "host-profile.md"
COMMANDS = re.findall(r"^ms sync .+$", DOCUMENT.read_text("utf-8"), re.MULTILINE)


def test_the_example_is_valid_and_shows_the_policys_defaults() -> None:
    text = DOCUMENT.read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)

    document, findings = documents.load(
        example, schema="sync", path="sync.yaml", shown_as="sync.yaml"
    )

    assert findings == []
    assert document is not None
    profile = HostProfile.from_mapping(document.data)
    assert profile.policy == Policy(soak_s=60)
    assert profile.models["digits"] == WantedModel(default="stable")


def test_every_key_of_the_policy_is_explained() -> None:
    text = DOCUMENT.read_text("utf-8")

    for name in Policy.__dataclass_fields__:
        assert f"\n| `{name}` | " in text


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one(line: str) -> None:
    words = shlex.split(line, comments=True)

    options = parser().parse_args(words[1:])

    assert options.run
