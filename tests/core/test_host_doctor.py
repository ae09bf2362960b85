"""What is wrong with a host is told with what was found and how to mend it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model_servers.core.doctor import Folder, State
from model_servers.core.entries import Layout
from model_servers.core.frontend import Frontend
from model_servers.core.gpus import Device, Gpus, visible
from model_servers.core.host import ServedVersion
from model_servers.core.host_doctor import HostFacts, check

GIB = 2**30
RUNNING = Frontend(
    pid=7,
    started_s=1.0,
    temp="/run/torchserve",
    config={
        "management_address": "http://127.0.0.1:8081",
        "enable_model_api": "true",
        "disable_token_authorization": "true",
        "allowed_urls": "none://.*",
    },
    flags=frozenset({"-ncs", "-f"}),
    environment={},
)


def version(ready=2, **changes):
    facts = {
        "version": "1.0",
        "location": "cat-1.0",
        "is_default": True,
        "workers_ready": ready,
        "workers": 2,
        "batch_size": 1,
        "max_batch_delay_ms": 1,
        "response_timeout_s": 1,
        "pending_requests": 0,
    }
    return ServedVersion(**{**facts, **changes})


def gpus(**changes):
    device = {"index": 0, "name": "Stub", "total_mib": 1000, "free_mib": 900}
    return Gpus(devices=(Device(**{**device, **changes}),))


GOOD = HostFacts(
    store="s3://releases",
    model_store=Folder(path="/srv/models", free_bytes=50 * GIB),
    python="/opt/torchserve/bin/python",
    config="/etc/torchserve/config.properties",
    management="http://127.0.0.1:8081",
    server_version="0.12.0",
    served={"cat": (version(),)},
    frontend=RUNNING,
    gpus=gpus(),
)


def with_config(**config):
    config = {**RUNNING.config, **config}
    return replace(GOOD, frontend=replace(RUNNING, config=config))


def running(**changes):
    return replace(GOOD, frontend=replace(RUNNING, **changes))


def test_a_good_host_has_nothing_to_mend():
    found = check(GOOD)

    assert {one.state.value for one in found} == {"ok"}
    assert [one.fix for one in found if one.fix] == []
    assert [one.name for one in found] == [
        "store",
        "model store",
        "leftovers",
        "python",
        "config",
        "torchserve",
        "version",
        "snapshots",
        "model API",
        "allowed_urls",
        "requirements",
        "tokens",
        "temp path",
        "management",
        "models",
        "gpu",
    ]


@pytest.mark.parametrize(
    ("facts", "name", "state", "found", "fix"),
    [
        pytest.param(
            replace(GOOD, store_error="the store is away"),
            *("store", "warning", "the store is away", "credentials"),
            id="lost store",
        ),
        pytest.param(
            replace(GOOD, model_store=Folder(path="/srv/models", free_bytes=None)),
            *("model store", "problem", "/srv/models cannot be written", "user"),
            id="model store of another user",
        ),
        pytest.param(
            replace(GOOD, user="root", owner="torchserve"),
            *("user", "warning", "model store is torchserve's", "sudo -u torchserve"),
            id="root",
        ),
        pytest.param(
            replace(GOOD, model_store=Folder(path="/srv/models", free_bytes=GIB)),
            *("model store", "warning", "1.0 GiB free", "ms sync prune"),
            id="full disk",
        ),
        pytest.param(
            replace(GOOD, prunable_bytes=3 * GIB),
            *("leftovers", "warning", "3072 MiB", "ms sync prune --yes"),
            id="leftovers",
        ),
        pytest.param(
            replace(GOOD, unrecorded_trees=2),
            *("trees", "problem", "2 without a record", "ms sync verify"),
            id="damaged records",
        ),
        pytest.param(
            replace(GOOD, python_error="/opt/x is no program that can be run"),
            *("python", "problem", "/opt/x is no program", "torchserve.python"),
            id="no Python",
        ),
        pytest.param(
            replace(GOOD, config_error="/etc/x cannot be read: Permission denied"),
            *("config", "problem", "/etc/x cannot be read", "ms sync install --print"),
            id="no config",
        ),
        pytest.param(
            replace(GOOD, server_error="TorchServe does not answer", frontend=None),
            *("torchserve", "problem", "does not answer", "torchserve.service"),
            id="no TorchServe",
        ),
        pytest.param(
            replace(GOOD, server_version="0.11.1"),
            *("version", "warning", "0.11.1", "torchserve==0.12.0"),
            id="another version",
        ),
        pytest.param(
            replace(GOOD, frontend=None),
            *("process", "warning", "no TorchServe of this model store", "model_store"),
            id="another model store",
        ),
        pytest.param(
            running(flags=frozenset()),
            *("snapshots", "problem", "on", "--ncs"),
            id="snapshots",
        ),
        pytest.param(
            with_config(enable_model_api="false"),
            *("model API", "problem", "off", "enable_model_api=true"),
            id="no model API",
        ),
        pytest.param(
            with_config(allowed_urls="file://.*|http(s)?://.*"),
            *("allowed_urls", "warning", "file://", "none://.*"),
            id="open urls",
        ),
        pytest.param(
            with_config(install_py_dep_per_model="true"),
            *("requirements", "problem", "by TorchServe", "=false"),
            id="TorchServe installs",
        ),
        pytest.param(
            with_config(disable_token_authorization="false"),
            *("tokens", "problem", "a file not named", "torchserve.key_file"),
            id="tokens without keys",
        ),
        pytest.param(
            running(temp="/" + "x" * 100),
            *("temp path", "problem", "101 bytes", "shorter TEMP"),
            id="long temp",
        ),
        pytest.param(
            with_config(management_address="http://0.0.0.0:8081"),
            *("management", "problem", "0.0.0.0", "127.0.0.1"),
            id="open management",
        ),
        pytest.param(
            replace(GOOD, served={"cat": (version(ready=1),)}),
            *("cat@1.0", "problem", "1 of 2 workers ready", "ms sync apply"),
            id="a zombie",
        ),
        pytest.param(
            replace(GOOD, served={"cat": (version(ready=0, is_default=False),)}),
            *("cat@1.0", "warning", "0 of 2 workers ready", "ms sync apply"),
            id="a zombie that is no default",
        ),
        pytest.param(
            replace(GOOD, gpus=Gpus(), gpu_error="NVML cannot tell"),
            *("gpu", "problem", "NVML cannot tell", "nvidia-smi"),
            id="a broken driver",
        ),
        pytest.param(
            replace(GOOD, gpus=visible(gpus(), "MIG-1"), mask="MIG-1"),
            *("gpu", "problem", "no UUIDs and no MIG", "numbers"),
            id="a mask that TorchServe does not read",
        ),
        pytest.param(
            replace(GOOD, gpus=gpus(is_mig=True)),
            *("gpu", "warning", "MIG on 0", "-mig 0"),
            id="MIG",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_fix(facts, name, state, found, fix):
    wrong = [one for one in check(facts) if one.state.value != "ok"]

    (one,) = [one for one in wrong if one.name == name]
    assert one.state.value == state
    assert found in one.found
    assert fix in one.fix


def test_a_host_whose_keys_are_named_may_have_tokens():
    facts = replace(
        with_config(disable_token_authorization="false"), key_file="/k.json"
    )

    (tokens,) = [one for one in check(facts) if one.name == "tokens"]
    assert (tokens.state.value, tokens.found) == ("ok", "on, keys in /k.json")


def test_whoever_is_at_work_is_named_and_no_problem():
    found = check(replace(GOOD, lock_holder="4711"))

    (lock,) = [one for one in found if one.name == "lock"]
    assert (lock.state.value, lock.found) == ("ok", "process 4711 is at work here")


def test_a_cpu_host_is_as_good():
    facts = replace(GOOD, gpus=Gpus(why_none="the driver shows none"))

    assert check(facts)[-1].state.value == "ok"


def test_a_host_that_registers_archives_is_told_what_that_costs():
    (layout,) = (
        one for one in check(replace(GOOD, layout=Layout.MAR)) if one.name == "layout"
    )

    assert layout.state is State.OK
    assert layout.found.startswith("mar, with requirements packed by sync; ")
    assert "layout" not in {one.name for one in check(GOOD)}
