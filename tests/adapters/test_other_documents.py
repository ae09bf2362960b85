"""Configs, golden requests and host profiles against their schemas."""

import pytest

import zoo
from adapters.reading import finding, read


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param(
            {"batchSize": 4.0},
            finding(
                "batchSize",
                3,
                1,
                "found the number 4.0, expected a whole number",
                fix="expected: the most requests in one batch, at least 1",
            ),
            id="a whole number with a point, which TorchServe would ignore",
        ),
        pytest.param(
            {"deviceType": "neuron"},
            finding(
                "deviceType",
                6,
                1,
                'found "neuron", expected one of ["cpu", "gpu"]',
                fix="expected: where the model must run: cpu or gpu; without it, a GPU "
                "where the host has one",
            ),
            id="one of several",
        ),
        pytest.param(
            {"maxBatchDelay": 0},
            finding(
                "maxBatchDelay",
                4,
                1,
                "found 0, expected at least 1",
                fix="expected: how long to wait for a full batch, in milliseconds, "
                "at least 1; TorchServe reads 0 as 100",
            ),
            id="a limit",
        ),
        pytest.param(
            {"system": {"maxGpuMemory": 5}},
            finding(
                "system.maxGpuMemory",
                7,
                3,
                "unknown key 'maxGpuMemory'",
                fix="did you mean 'maxGPUMemory'?",
            ),
            id="the case of letters",
        ),
        pytest.param(
            {"system": {"extraFiles": "a.rar"}},
            finding(
                "system.extraFiles",
                7,
                3,
                'found "a.rar"; that is not allowed here',
                fix="expected: the name of a .tar.gz, .tgz, .tar or .zip that the "
                "handler unpacks beside the model file; several as a list, or with "
                "commas between them",
            ),
            id="an ending",
        ),
        pytest.param(
            {"maxWorkers": None},
            finding(
                "minWorkers",
                1,
                1,
                "minWorkers needs maxWorkers beside it; TorchServe 0.12 ignores it "
                "alone and starts no worker",
                fix="add `maxWorkers:`",
            ),
            id="a key that needs another",
        ),
    ],
)
def test_what_the_schema_of_a_model_config_refuses(changes, expected):
    text = zoo.as_yaml(zoo.config_document(**changes))

    _, (found,) = read(text, "model-config")

    assert found == expected


def test_torchserves_own_document_has_no_schema_number():
    _, (found,) = read(zoo.as_yaml(zoo.config_document(schema=2)), "model-config")

    assert found.message == "unknown key 'schema'"
    assert found.fix.startswith("known keys: minWorkers, maxWorkers, batchSize, ")


@pytest.mark.parametrize(
    ("bodies", "is_right"),
    [
        pytest.param({"json": [1]}, True, id="json"),
        pytest.param({"text": "a"}, True, id="text"),
        pytest.param({"file": "a.png"}, True, id="file"),
        pytest.param({}, False, id="none"),
        pytest.param({"json": 1, "text": "a"}, False, id="two"),
    ],
)
def test_a_golden_request_has_exactly_one_body(bodies, is_right):
    request = {"content_type": "x/y", **bodies}
    text = zoo.as_yaml({"schema": 1, "request": request, "expect": {"json": 1}})

    _, findings = read(text, "golden")

    message = "expected exactly one of json, text and file"
    wrong = [finding("request", 2, 1, message)]
    assert findings == ([] if is_right else wrong)


def test_a_content_type_cannot_smuggle_in_a_header():
    request = {"content_type": "a/b\n", "text": "x"}
    text = zoo.as_yaml({"schema": 1, "request": request, "expect": {"json": 1}})

    _, (found,) = read(text, "golden")

    assert found.where == "request.content_type"
    assert found.message == 'found "a/b\\n"; that is not allowed here'


def test_a_wrong_name_in_a_host_profile_is_found_where_it_stands():
    text = 'schema: 1\nmodels:\n  tiny: latest\n  Big: "1.0"\n  wee: 1,2\n'

    _, findings = read(text, "sync")

    letters = (
        "a model's name is lower-case letters and digits, joined by single _ or -, "
        "a letter first"
    )
    assert findings == [
        finding("models.Big", 4, 3, f'found "Big"; {letters}'),
        finding(
            "models.wee",
            5,
            3,
            'found "1,2"; that is not allowed here',
            fix="expected: a released version in quotes, a channel, latest, or a "
            "mapping",
        ),
    ]
