"""What a host changes in a model config, and what every reader makes of it."""

from __future__ import annotations

import pytest
import yaml

from model_servers.adapters import documents
from model_servers.core.overlay import (
    Overrides,
    changes_only_workers,
    differences,
    overlay_digest,
    with_overlay,
)


def test_settings_of_a_host_become_keys_of_the_model_config():
    overrides = Overrides(
        workers=2, batch_size=8, max_batch_delay_ms=20, device="gpu", device_ids=(1, 0)
    )

    assert overrides.overlay() == {
        "minWorkers": 2,
        "maxWorkers": 2,
        "batchSize": 8,
        "maxBatchDelay": 20,
        "deviceType": "gpu",
        "deviceIds": [1, 0],
    }
    assert Overrides().overlay() == {}


CONFIG = {
    "minWorkers": 1,
    "responseTimeout": 30,
    "system": {"maxGPUMemory": 500, "extraFiles": "a.tar.gz"},
    "handler": {
        "eps": 1e-05,
        "tiny": -2e-300,
        "mean": [0.485, 1.0],
        "labels": ["no", "off", "1.0", 'a "quoted" \\ one', "snow\u2603man", "é: #"],
        "on": None,
        "deep": {"a": {"b": True}},
    },
}


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(yaml.safe_load, id="as the worker reads it"),
        pytest.param(lambda text: documents.parse(text)[0], id="as we read it"),
    ],
)
def test_a_config_with_an_overlay_is_read_as_the_one_before_but_for_its_keys(read):
    overlay = {"minWorkers": 3, "deviceIds": [0, 2]}

    text = with_overlay(CONFIG, overlay)

    assert read(text) == {**CONFIG, **overlay}


def test_an_overlay_has_one_digest_whatever_its_order():
    assert overlay_digest({"a": 1, "b": 2}) == overlay_digest({"b": 2, "a": 1})
    assert overlay_digest({"a": 1}) != overlay_digest({"a": 2})
    assert overlay_digest({}) == ""


@pytest.mark.parametrize(
    ("before", "after", "lines", "only_workers"),
    [
        pytest.param({}, {}, [], False, id="nothing"),
        pytest.param(
            {"minWorkers": 1, "maxWorkers": 1},
            {"minWorkers": 2, "maxWorkers": 2},
            ["maxWorkers 1 -> 2", "minWorkers 1 -> 2"],
            True,
            id="workers",
        ),
        pytest.param(
            {},
            {"minWorkers": 2, "maxWorkers": 2},
            ["maxWorkers the model's own -> 2", "minWorkers the model's own -> 2"],
            False,
            id="workers that the model decided on",
        ),
        pytest.param(
            {"batchSize": 4, "minWorkers": 1, "maxWorkers": 1},
            {"minWorkers": 1, "maxWorkers": 1},
            ["batchSize 4 -> the model's own"],
            False,
            id="a batch size",
        ),
    ],
)
def test_what_differs_is_said(before, after, lines, only_workers):
    assert differences(before, after) == lines
    assert changes_only_workers(before, after) is only_workers
