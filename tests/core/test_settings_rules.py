"""Rules about model-config.yaml that its schema cannot say."""

import dataclasses

import pytest

import zoo
from model_servers.core.contribution import Contribution, Document
from model_servers.core.findings import Code
from model_servers.core.rules import Subject
from model_servers.core.rules.settings import (
    HANDLER_OPTIONS,
    contradictions,
    handler_options,
    ignored_sections,
)
from model_servers.core.spec import ModelSpec
from model_servers_handler.options import HandlerOptions

OPTIONS = "known options: " + ", ".join(HANDLER_OPTIONS)


def found(*, rules=(handler_options, contradictions), **changes):
    """Give (code, place, message, fix) of each finding about a config."""
    data = zoo.config_document(**changes)
    config = Document(path="model-config.yaml", data=data, places={})
    model = Document(path="model.yaml", data=zoo.model_document(), places={})
    subject = Subject(
        contribution=Contribution(
            name="tiny", root="registry/tiny", files={}, model=model, config=config
        ),
        model=model,
        spec=ModelSpec.from_mapping(model.data),
        digest=str,
        others={},
    )
    return [
        (one.code, one.where, one.message, one.fix)
        for rule in rules
        for one in rule(subject)
    ]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="plain"),
        pytest.param({"minWorkers": 2, "maxWorkers": 2}, id="as many at most"),
        pytest.param({"handler": {"warmup": {"json": 1}}}, id="a known option"),
        pytest.param({"asyncCommunication": False}, id="not asynchronous"),
        pytest.param(
            {
                "parallelType": "tp",
                "torchrun": {"nproc-per-node": 2},
                "parallelLevel": 2,
                "deviceIds": [0, 1, 2, 3],
            },
            id="two workers of two GPUs",
        ),
        pytest.param({"deviceIds": [0, 1, 2]}, id="three workers of one GPU"),
        pytest.param(
            {"parallelLevel": 4, "deviceIds": [0]},
            id="a level that TorchServe does not use without a parallelType",
        ),
        pytest.param(
            {"batchSize": 8, "micro_batching": {"micro_batch_size": 8}},
            id="one micro-batch",
        ),
        pytest.param({"micro_batching": {"parallelism": {}}}, id="no micro-batch"),
        pytest.param(
            {"clientTimeoutInMills": 5, "batchSize": 1}, id="a batch of one never waits"
        ),
        pytest.param(
            {"clientTimeoutInMills": 6, "maxBatchDelay": 5}, id="time for the batch"
        ),
    ],
)
def test_settings_that_make_sense_have_no_findings(changes):
    assert found(**changes) == []


@pytest.mark.parametrize(
    ("changes", "code", "where", "message", "fix"),
    [
        pytest.param(
            {"handler": {"channel_last": True}},
            Code.HANDLER_OPTION,
            "handler.channel_last",
            "the shared handler has no option 'channel_last'",
            "did you mean 'channels_last'?",
            id="an option that is nearly known",
        ),
        pytest.param(
            {"handler": {"vllm_engine_config": {}}},
            Code.HANDLER_OPTION,
            "handler.vllm_engine_config",
            "the shared handler has no option 'vllm_engine_config'",
            OPTIONS,
            id="an option of another handler",
        ),
        pytest.param(
            {"asyncCommunication": True},
            Code.HANDLER_OPTION,
            "asyncCommunication",
            "asyncCommunication is for handlers that are coroutines; the shared "
            "handler is none",
            "remove asyncCommunication",
            id="a worker for coroutines",
        ),
        pytest.param(
            {"minWorkers": 3, "maxWorkers": 2},
            Code.CONTRADICTION,
            "maxWorkers",
            "maxWorkers is 2, but minWorkers is 3; TorchServe would ignore both and "
            "start no worker",
            "write `maxWorkers: 3` or more",
            id="fewer at most than at least",
        ),
        pytest.param(
            {
                "parallelType": "tp",
                "parallelLevel": 2,
                "torchrun": {"nproc-per-node": 4},
            },
            Code.CONTRADICTION,
            "parallelLevel",
            "parallelLevel is 2, but torchrun.nproc-per-node is 4; both are the GPUs "
            "of one worker",
            "write `parallelLevel: 4`, or remove it",
            id="two numbers for one thing",
        ),
        *(
            pytest.param(
                {"parallelType": "tp", **level, "deviceIds": [0, 1, 2]},
                Code.CONTRADICTION,
                "deviceIds",
                "deviceIds has 3 GPUs, which workers with 2 GPUs each cannot share",
                "list a multiple of 2 GPUs",
                id=f"GPUs that cannot be shared, by {next(iter(level))}",
            )
            for level in ({"parallelLevel": 2}, {"torchrun": {"nproc-per-node": 2}})
        ),
        pytest.param(
            {"batchSize": 4, "micro_batching": {"micro_batch_size": 5}},
            Code.CONTRADICTION,
            "micro_batching.micro_batch_size",
            "micro_batch_size is 5, but batchSize is 4, so no batch is ever cut",
            "write `micro_batch_size: 4` or less",
            id="a micro-batch above the batch",
        ),
        *(
            pytest.param(
                {"clientTimeoutInMills": delay, "maxBatchDelay": given},
                Code.CONTRADICTION,
                "clientTimeoutInMills",
                f"clientTimeoutInMills is {delay}, but a request may wait {delay} ms "
                "for its batch (maxBatchDelay), and would be dropped without an answer",
                f"write more than {delay}, or less for maxBatchDelay",
                id=f"no time for the batch, with maxBatchDelay {given}",
            )
            for delay, given in ((7, 7), (100, None))
        ),
    ],
)
def test_settings_that_make_no_sense_are_found(changes, code, where, message, fix):
    assert found(**changes) == [(code, where, message, fix)]


def test_the_known_options_are_those_of_the_shared_handler():
    fields = [field.name for field in dataclasses.fields(HandlerOptions)]

    assert sorted(fields) == list(HANDLER_OPTIONS)


@pytest.mark.parametrize(
    "section",
    ["pt2", "micro_batching", "pippy", "deepspeed", "dali", "ipex", "cache"],
)
def test_a_section_that_only_other_handlers_read_is_said_to_be_ignored(section):
    (finding,) = found(rules=[ignored_sections], **{section: {}})

    assert finding[:3] == (
        Code.IGNORED_SECTION,
        section,
        f"the shared handler does not read {section}",
    )
    assert section in finding[3]


def test_what_the_server_and_the_handler_read_is_not_ignored():
    sections = {"system": {}, "handler": {}, "deviceType": "cpu", "torchrun": {}}

    assert found(rules=[ignored_sections], **sections) == []
