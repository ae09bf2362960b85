"""Channels as values: what moves, and what stays."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from model_servers.core.channels import Pointer, Wanted, channel_names, move
from model_servers.core.names import Version


def versions(**models: str) -> dict[str, Version]:
    return {name: Version.parse(text) for name, text in models.items()}


def stable(generation: int = 3, **models: str) -> Pointer:
    return Pointer(channel="stable", generation=generation, models=versions(**models))


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        pytest.param(
            stable(cat="1.0"),
            {"cat": versions(stable="1.1")},
            stable(4, cat="1.1"),
            id="forward",
        ),
        pytest.param(
            stable(cat="1.1"),
            {"cat": versions(stable="1.0")},
            stable(4, cat="1.0"),
            id="back, with a newer generation",
        ),
        pytest.param(
            stable(cat="1.0"),
            {"cat": versions(stable="1.0", canary="1.1"), "dog": {}},
            stable(cat="1.0"),
            id="other channels do not count",
        ),
        pytest.param(
            stable(cat="1.0"),
            {"cat": versions(stable="1.0.0")},
            stable(4, cat="1.0.0"),
            id="a version is its text",
        ),
        pytest.param(
            stable(cat="1.0", dog="2.0"),
            {"cat": versions(stable="1.0"), "dog": {}},
            stable(4, cat="1.0"),
            id="a model leaves the channel",
        ),
        pytest.param(
            stable(cat="1.0"),
            {},
            stable(cat="1.0"),
            id="an empty registry removes nothing",
        ),
        pytest.param(
            Pointer(channel="stable"),
            {"cat": versions(stable="1.0")},
            stable(1, cat="1.0"),
            id="a new channel",
        ),
    ],
)
def test_a_channel_moves_to_what_the_registry_says(
    before: Pointer, wanted: Wanted, after: Pointer
) -> None:
    assert move(before, wanted).after == after


def test_pruning_takes_out_what_the_registry_does_not_have() -> None:
    change = move(stable(cat="1.0"), {}, prune=True)

    assert change.after == stable(4)
    assert change.changed == {"cat": (Version.parse("1.0"), None)}
    assert list(change.targets()) == []


@pytest.mark.parametrize("models", [{}, {"cat": "1.0"}, {"dog": "1.0", "cat": "2.1.0"}])
def test_what_is_written_reads_as_the_same_pointer(models: Mapping[str, str]) -> None:
    pointer = stable(**models)

    assert Pointer.from_mapping(json.loads(pointer.to_bytes())) == pointer


def test_keys_that_are_no_channel_are_passed_over() -> None:
    keys = [
        "channels/stable.json",
        "channels/canary.json",
        "channels/latest.json",
        "channels/a/b.json",
        "channels/UPPER.json",
        "channels/stable.json.bak",
        "channels/.json",
        "models/cat/1.0/release.json",
    ]

    assert channel_names(keys) == ["canary", "stable"]
