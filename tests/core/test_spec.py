"""What the documents say, as values."""

import pytest

import zoo
from model_servers.core.host import ServedVersion
from model_servers.core.names import Ref, Version
from model_servers.core.overlay import Overrides
from model_servers.core.profile import HostProfile, Policy, Update, WantedModel
from model_servers.core.spec import Build, Checkpoint, ModelSpec, Serving


def test_a_short_model_yaml_leaves_out_what_is_optional():
    document = zoo.model_document(build={"checkpoint_file": None})

    spec = ModelSpec.from_mapping(document)

    assert spec == ModelSpec(
        name="tiny",
        version=Version((1, 0, 0), "1.0.0"),
        summary="A model for tests.",
        license="Apache-2.0",
        maintainers=("@model-servers",),
        build=Build(model_file="handler_model.py", config_file="model-config.yaml"),
    )
    assert spec.golden == "golden"
    assert spec.ref == Ref.parse("tiny@1.0.0")


def test_a_full_model_yaml_is_read_completely():
    document = zoo.model_document(
        checkpoint={"sha256": "ab" * 32, "size": 7},
        golden="cases",
        build={"requirements_file": "requirements.txt", "extra_files": ["a", "b.py"]},
    )

    spec = ModelSpec.from_mapping(document)

    assert spec.checkpoint == Checkpoint(sha256="ab" * 32, size_bytes=7)
    assert spec.golden == "cases"
    assert spec.build.named_files() == [
        ("build.model_file", "handler_model.py"),
        ("build.config_file", "model-config.yaml"),
        ("build.requirements_file", "requirements.txt"),
        ("build.checkpoint_file", "checkpoint.pt"),
        ("build.extra_files[0]", "a"),
        ("build.extra_files[1]", "b.py"),
    ]


def test_what_a_model_config_does_not_say_is_left_to_torchserve():
    assert Serving.from_mapping({"jobQueueSize": 10}) == Serving()


def test_a_model_config_is_read_with_its_units():
    document = {
        **zoo.config_document(startupTimeout=60),
        "system": {"extraFiles": "a.tar", "maxGPUMemory": 500},
    }

    assert Serving.from_mapping(document) == Serving(
        min_workers=1,
        max_workers=1,
        batch_size=4,
        max_batch_delay_ms=5,
        response_timeout_s=30,
        startup_timeout_s=60,
        extra_files=("a.tar",),
        gpu_memory_mib=500,
    )


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        pytest.param("a.tar", ("a.tar",), id="a name"),
        pytest.param("a.tar, b.zip", ("a.tar", "b.zip"), id="names with commas"),
        pytest.param(["a.tar", "b.zip"], ("a.tar", "b.zip"), id="a list"),
    ],
)
def test_extra_files_are_read_as_the_handler_reads_them(listed, names):
    serving = Serving.from_mapping({"system": {"extraFiles": listed}})

    assert serving.extra_files == names


def test_a_host_profile_needs_only_its_models():
    profile = HostProfile.from_mapping({"schema": 1, "models": {"tiny": "latest"}})

    assert profile == HostProfile(
        models={"tiny": WantedModel(default="latest")},
        store=None,
        model_store=None,
        management="http://127.0.0.1:8081",
        inference="http://127.0.0.1:8080",
        metrics="http://127.0.0.1:8082",
        python=None,
        config=None,
        policy=Policy(
            update=Update.AUTO,
            keep=2,
            max_removed_share=0.5,
            max_changed_share=1.0,
            memory_headroom_mib=512,
            soak_s=0.0,
            drain_s=10.0,
        ),
    )


def test_a_full_host_profile_is_read_completely():
    document = {
        "schema": 1,
        "store": "s3://bucket/prefix",
        "model_store": "/models",
        "models": {
            "tiny": {
                "default": "stable",
                "also": ["1.1", "canary"],
                "workers": 2,
                "batch_size": 8,
                "max_batch_delay_ms": 20,
                "device": "gpu",
                "device_ids": [0, 1],
                "update": "resource",
            }
        },
        "policy": {
            "update": "availability",
            "keep": 0,
            "max_removed_share": 0,
            "max_changed_share": 0.5,
            "memory_headroom_mib": 0,
            "soak_s": 60,
            "drain_s": 0,
        },
        "torchserve": {
            "management": "http://a:1",
            "inference": "http://b:2",
            "metrics": "http://c:3",
            "python": "/bin/python",
            "config": "/etc/config.properties",
        },
    }

    profile = HostProfile.from_mapping(document)

    assert profile == HostProfile(
        models={
            "tiny": WantedModel(
                default="stable",
                also=("1.1", "canary"),
                overrides=Overrides(
                    workers=2,
                    batch_size=8,
                    max_batch_delay_ms=20,
                    device="gpu",
                    device_ids=(0, 1),
                ),
                update=Update.RESOURCE,
            )
        },
        store="s3://bucket/prefix",
        model_store="/models",
        management="http://a:1",
        inference="http://b:2",
        metrics="http://c:3",
        python="/bin/python",
        config="/etc/config.properties",
        policy=Policy(
            update=Update.AVAILABILITY,
            keep=0,
            max_removed_share=0,
            max_changed_share=0.5,
            memory_headroom_mib=0,
            soak_s=60,
            drain_s=0,
        ),
    )
    assert profile.models["tiny"].channels == {"stable", "canary"}


def served(**changes):
    facts = {
        "version": "1.0",
        "location": "tiny-1.0",
        "is_default": True,
        "workers": 2,
        "workers_ready": 2,
        "batch_size": 4,
        "max_batch_delay_ms": 5,
        "response_timeout_s": 30,
        "pending_requests": 0,
    }
    return ServedVersion(**{**facts, **changes})


def test_a_version_is_ready_when_all_its_workers_are_and_there_is_one():
    assert served().is_ready
    assert not served(workers_ready=1).is_ready
    assert not served(workers=0, workers_ready=0).is_ready


def test_settings_that_torchserve_did_not_take_are_named():
    asked = Serving(
        min_workers=3, batch_size=4, max_batch_delay_ms=9, response_timeout_s=31
    )

    assert served().ignored_settings(asked) == [
        "maxBatchDelay is 5, model-config.yaml asks for 9",
        "responseTimeout is 30, model-config.yaml asks for 31",
        "minWorkers is 2, model-config.yaml asks for 3",
    ]
    assert served().ignored_settings(Serving()) == []
