"""What keys of one document demand of each other, in the words that people get."""

import jsonschema
import pytest
import yaml

import zoo
from model_servers.adapters import documents
from schemas.known import schema

TP = {"parallelType": "tp", "torchrun": {"nproc-per-node": 2}}


def found(data, name="model-config"):
    """Give (place, line, message, fix) of everything that is wrong."""
    text = zoo.as_yaml(data)
    _, findings = documents.load(text, schema=name, path="x", shown_as="x")
    return [(one.where, one.line, one.message, one.fix) for one in findings]


def refused_by_a_stranger(data, name="model-config"):
    validator = jsonschema.Draft202012Validator(schema(name))
    return not validator.is_valid(yaml.safe_load(zoo.as_yaml(data)))


def needs(key, other):
    return (
        f"{key} needs {other} beside it; TorchServe 0.12 ignores it alone and starts "
        "no worker"
    )


@pytest.mark.parametrize(
    ("data", "where", "line", "message", "fix"),
    [
        pytest.param(
            {"batchSize": 1, "minWorkers": 1},
            "minWorkers",
            2,
            needs("minWorkers", "maxWorkers"),
            "add `maxWorkers:`",
            id="minWorkers alone",
        ),
        pytest.param(
            {"maxWorkers": 1},
            "maxWorkers",
            1,
            needs("maxWorkers", "minWorkers"),
            "add `minWorkers:`",
            id="maxWorkers alone",
        ),
        *(
            pytest.param(
                {"batchSize": 1, "parallelType": kind},
                "parallelType",
                2,
                "parallelType pp, tp or pptp needs torchrun; without it TorchServe "
                "0.12 cannot start a worker",
                "add `torchrun:` with `nproc-per-node:`, the GPUs of one worker",
                id=f"{kind} without torchrun",
            )
            for kind in ("pp", "tp", "pptp")
        ),
        pytest.param(
            {"parallelType": "custom"},
            "parallelType",
            1,
            "parallelType custom needs parallelLevel; without it TorchServe 0.12 "
            "ignores it",
            "add `parallelLevel:`, the GPUs of one worker",
            id="custom without parallelLevel",
        ),
        pytest.param(
            {"torchrun": {"nproc-per-node": 4}},
            "torchrun",
            1,
            "torchrun needs parallelType; without it TorchServe 0.12 starts one plain "
            "process",
            "add `parallelType:` with pp, tp or pptp",
            id="torchrun without parallelType",
        ),
        pytest.param(
            {"deviceIds": [0], "deviceType": "cpu"},
            "deviceType",
            3,
            "deviceType is cpu, so TorchServe 0.12 would ignore deviceIds",
            "remove deviceIds, or write `deviceType: gpu`",
            id="GPUs for a model on the CPU",
        ),
        pytest.param(
            {"sequenceBatching": True},
            "sequenceBatching",
            1,
            "sequenceBatching needs sequenceMaxIdleMSec; without it TorchServe 0.12 "
            "fails every request",
            "add `sequenceMaxIdleMSec:`, how long a sequence may be silent, in "
            "milliseconds",
            id="sequences without end",
        ),
        *(
            pytest.param(
                {key: 1},
                key,
                1,
                f"{key} needs sequenceMaxIdleMSec; without sequenceMaxIdleMSec "
                "TorchServe 0.12 ignores it",
                "add `sequenceMaxIdleMSec:`",
                id=key,
            )
            for key in (
                "sequenceTimeoutMSec",
                "maxSequenceJobQueueSize",
                "maxNumSequence",
            )
        ),
        pytest.param(
            {"asyncCommunication": True, "continuousBatching": True},
            "asyncCommunication",
            1,
            "found true; a worker has continuousBatching or asyncCommunication, never "
            "both",
            "remove one of them",
            id="two kinds of worker",
        ),
        pytest.param(
            {"asyncCommunication": True, "system": {"maxGPUMemory": 1}},
            "asyncCommunication",
            1,
            "found true; `system:` is for the shared handler, which is no coroutine",
            "remove asyncCommunication",
            id="the shared handler as a coroutine",
        ),
        pytest.param(
            {"pt2": {"compile": {"backend": "inductor"}}},
            "pt2.compile",
            2,
            "compile needs enable; TorchServe 0.12 cannot load the model without it",
            "add `enable: true`",
            id="compile without enable",
        ),
        pytest.param(
            {"handler": {"warmup": {"json": 1, "text": "a"}}},
            "handler.warmup",
            2,
            "expected exactly one of json, text and file",
            "",
            id="two bodies of a warm-up",
        ),
    ],
)
def test_what_a_setting_demands_of_another(data, where, line, message, fix):
    assert found(data) == [(where, line, message, fix)]
    assert refused_by_a_stranger(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"minWorkers": 1, "maxWorkers": 1}, id="both numbers"),
        pytest.param(TP, id="torchrun with its type"),
        pytest.param({"parallelType": "custom", "parallelLevel": 2}, id="custom"),
        pytest.param({**TP, "deviceIds": [0, 1]}, id="GPUs of any host"),
        pytest.param({"deviceIds": [0], "deviceType": "gpu"}, id="GPUs"),
        pytest.param({"sequenceBatching": False}, id="no sequences"),
        pytest.param(
            {"sequenceMaxIdleMSec": 1, "maxNumSequence": 2}, id="sequences by the key"
        ),
        pytest.param({"continuousBatching": True}, id="continuous"),
        pytest.param(
            {"continuousBatching": False, "asyncCommunication": True}, id="asynchronous"
        ),
        pytest.param(
            {"continuousBatching": True, "asyncCommunication": False}, id="one of them"
        ),
        pytest.param({"pt2": {"compile": {"enable": False}}}, id="not compiled"),
    ],
)
def test_what_goes_together(data):
    assert found(data) == []
    assert not refused_by_a_stranger(data)


@pytest.mark.parametrize(
    ("data", "where", "message", "fix"),
    [
        pytest.param(
            {},
            "",
            "found 0 keys, expected at least 1 key",
            "expected: TorchServe's model config with the `system:` block of "
            "model-servers. TorchServe ignores mistakes in it silently, so unknown "
            "keys and impossible values are refused here.",
            id="an empty mapping",
        ),
        pytest.param(
            {"BatchSize": 4},
            "BatchSize",
            "unknown key 'BatchSize'",
            "did you mean 'batchSize'?",
            id="the case of letters",
        ),
        pytest.param(
            {"deviceType": "GPU"},
            "deviceType",
            'found "GPU", expected one of ["cpu", "gpu"]',
            "did you mean gpu?",
            id="the case of a value",
        ),
        pytest.param(
            {"useVenv": True},
            "useVenv",
            "found true, expected false",
            "expected: false: requirements are installed before a model is loaded, "
            "never by TorchServe",
            id="a virtual environment",
        ),
        pytest.param(
            {"maxRetryTimeoutInSec": 300000},
            "maxRetryTimeoutInSec",
            "found 300000, expected at most 86400",
            "expected: how long a dead worker is restarted, in seconds; 0 is never",
            id="milliseconds for seconds",
        ),
        pytest.param(
            {"deviceIds": [1, 1]},
            "deviceIds",
            "found [1, 1], expected every item once",
            "expected: the GPUs that workers are placed on, by turns; TorchServe "
            "ignores the whole list if the host lacks one of them",
            id="one GPU twice",
        ),
        pytest.param(
            {"handler": {"autocast": "fp16"}},
            "handler.autocast",
            'found "fp16", expected one of ["bfloat16", "float16"]',
            "expected: the type that torch.autocast computes in",
            id="an option of the handler",
        ),
        pytest.param(
            {"system": {"extraFiles": ["a.tar", "a/b.tar"]}},
            "system.extraFiles[1]",
            'found "a/b.tar"; that is not allowed here',
            "expected: the name of a .tar.gz, .tgz, .tar or .zip",
            id="one of several archives",
        ),
        pytest.param(
            {"pt2": "inducter"},
            "pt2",
            'found "inducter", expected one of ["eager", "aot_eager", "inductor", '
            '"nvfuser", "aot_nvfuser", "aot_cudagraphs", "ofi", "fx2trt", "onnxrt", '
            '"ipex", "torchxla_trace_once", "openvino", "tensorrt", "hpu_backend"]',
            "did you mean inductor?",
            id="a backend that TorchServe would pass over",
        ),
        pytest.param(
            {"dali": {"batch_size": 1, "num_threads": 1, "device_id": 0}},
            "dali",
            "key 'seed' is missing",
            "add `seed:`",
            id="a key that TorchServe's handler reads without asking",
        ),
    ],
)
def test_what_is_wrong_with_a_value(data, where, message, fix):
    ((place, _, said, advice),) = found(data)

    assert (place, said, advice) == (where, message, fix)
    assert refused_by_a_stranger(data)


LETTERS = "lower-case letters and digits, joined by single _ or -, a letter first"


@pytest.mark.parametrize(
    ("name", "data", "where", "message", "fix"),
    [
        pytest.param(
            "channels",
            {"schema": 1, "channels": {"Stable": "1.0"}},
            "channels.Stable",
            f'found "Stable"; a channel\'s name is {LETTERS}, at most 64',
            "",
            id="a channel's name",
        ),
        pytest.param(
            "channels",
            {"schema": 1, "channels": {"latest": "1.0"}},
            "channels.latest",
            "the channel latest is always the highest released version, and cannot be "
            "set",
            "choose another name, such as stable",
            id="the channel that is computed",
        ),
        pytest.param(
            "channels",
            {"schema": 1, "stable": "1.0", "channels": {}},
            "stable",
            "unknown key 'stable'",
            "known keys: schema, channels",
            id="a channel beside the others",
        ),
        pytest.param(
            "channels",
            {"schema": 1, "channels": {"stable": 1.1}},
            "channels.stable",
            "found the number 1.1, expected text",
            "quote it, as it is written",
            id="a version without quotes",
        ),
        pytest.param(
            "channel-pointer",
            {"schema": 1, "channel": "stable", "generation": 0, "models": {}},
            "generation",
            "found 0, expected at least 1",
            "expected: grows by one with every change, from 1; of two writers one "
            "loses",
            id="a generation before the first",
        ),
        pytest.param(
            "model",
            zoo.model_document(
                exceptions=[{"code": "MS040", "reason": "x", "until": "2026-02-30"}]
            ),
            "exceptions[0].until",
            'found "2026-02-30"; that is not allowed here',
            "expected: the last day of the exception, quoted, as YYYY-MM-DD",
            id="a day that is none",
        ),
        pytest.param(
            "model",
            zoo.model_document(exceptions=[{"code": "MS040", "until": "2026-02-28"}]),
            "exceptions[0]",
            "key 'reason' is missing",
            "add `reason:`",
            id="an exception without reason",
        ),
        pytest.param(
            "model",
            zoo.model_document(
                checkpoint={"uri": "/etc/x", "sha256": "ab" * 32, "size": 1}
            ),
            "checkpoint.uri",
            'found "/etc/x"; expected https://host/path, s3://bucket/key, or a file '
            "below the model's directory",
            "expected: where the weights come from if they are not in git: https://, "
            "s3://, or a file relative to the model's directory, with / between its "
            "parts",
            id="a checkpoint from elsewhere on the machine",
        ),
        pytest.param(
            "model",
            zoo.model_document(checkpoint={"uri": "s3://bucket/x"}),
            "checkpoint",
            "key 'sha256' is missing",
            "add `sha256:`",
            id="a checkpoint without digest",
        ),
        pytest.param(
            "model",
            zoo.model_document(summary="x" * 201),
            "summary",
            "found 201 characters, expected at most 200 characters",
            "expected: one sentence that says what the model does",
            id="a long summary",
        ),
    ],
)
def test_what_is_wrong_with_a_document_of_ours(name, data, where, message, fix):
    place, _, said, advice = found(data, name)[0]

    assert (place, said, advice) == (where, message, fix)


@pytest.mark.parametrize(
    ("uri", "is_right"),
    [
        ("https://example.org/a.pt", True),
        ("s3://bucket/a.pt", True),
        ("weights/a.pt", True),
        ("a file.pt", True),
        ("http://example.org/a.pt", False),
        ("s3://bucket", False),
        ("file:///a.pt", False),
        ("../a.pt", False),
        ("a/../../b.pt", False),
        ("a.pt\n", False),
        ("", False),
    ],
)
def test_where_a_checkpoint_may_come_from(uri, is_right):
    checkpoint = {"uri": uri, "sha256": "ab" * 32, "size": 1}

    faults = documents.violations(
        zoo.model_document(checkpoint=checkpoint), schema="model"
    )

    assert (faults == []) is is_right
