"""Where the workers of a version go: tables of hosts and what is asked of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model_servers.core.gpus import Device, Gpus, Tenant
from model_servers.core.placement import (
    Ask,
    Misfit,
    Placement,
    ask,
    context_seen_mib,
    place,
    tenant,
    tenant_seen,
)
from model_servers.core.spec import Serving

ASK = Ask(name="a", version="1.0.0", workers=1, tensors_mib=1400, context_mib=600)


def host(*free, total=10_000, mig=()):
    """Give GPUs with so many MiB to promise: what admission keeps is on top."""
    return Gpus(
        devices=tuple(
            Device(index=i, total_mib=total, free_mib=mib + 256, is_mig=i in mig)
            for i, mib in enumerate(free)
        )
    )


@pytest.mark.parametrize(
    ("gpus", "changes", "device_ids"),
    [
        pytest.param(host(2000), {}, (0,), id="exactly"),
        pytest.param(host(9000, 2500, 4000), {}, (1,), id="the fullest that has room"),
        pytest.param(host(1999, 5000), {}, (1,), id="not the one that is too full"),
        pytest.param(host(9000, 9000), {}, (0,), id="the first of equals"),
        pytest.param(
            host(9000, 5000, 4000), {"workers": 2}, (1, 2), id="one worker each"
        ),
        pytest.param(
            host(9000, 1000, 1000), {"workers": 2}, (0,), id="both where only one fits"
        ),
        pytest.param(
            host(3000, 4000), {"workers": 3}, (), id="none has room for two of three"
        ),
        pytest.param(
            host(4000, 4000), {"workers": 3}, (0, 1), id="each as if it came first"
        ),
        pytest.param(host(*[9000] * 8), {"workers": 8}, tuple(range(8)), id="eight"),
        pytest.param(
            host(2500, 9000, 2500), {"device_ids": (1,)}, (1,), id="insisted on"
        ),
        pytest.param(
            host(9000, 1000), {"device_ids": (1,)}, (), id="insisted on, and full"
        ),
        pytest.param(
            host(9000, 2000, 2000), {"each": 2}, (1, 2), id="two for one worker"
        ),
        pytest.param(host(9000), {"each": 2}, (), id="two for one worker, of one"),
        pytest.param(host(2500, 9000, mig=[0]), {}, (1,), id="not the one in MIG mode"),
    ],
)
def test_devices_are_chosen_by_what_is_free(gpus, changes, device_ids):
    placed = place(replace(ASK, **changes), gpus, [])

    found = placed.device_ids if isinstance(placed, Placement) else ()
    assert found == device_ids


def test_a_new_version_stays_on_the_device_of_the_old_one_if_it_fits():
    gpus = host(2500, 9000)
    old = Tenant(name="a", version="0.9", device_mib={1: 2000})

    assert place(ASK, gpus, [old], sticky=[1]) == Placement(
        device_ids=(1,), workers=1, worker_mib=2000
    )


def test_it_moves_where_both_do_not_fit_together():
    gpus = host(5000, 1500)
    old = Tenant(name="a", version="0.9", device_mib={1: 2000})

    placed = place(ASK, gpus, [old], sticky=[1])

    assert isinstance(placed, Placement)
    assert placed.device_ids == (0,)


def test_what_does_not_fit_is_told_with_what_is_needed_free_and_in_the_way():
    gpus = host(5000, total=6000)
    others = [
        Tenant(name="small", version="1", device_mib={0: 500}),
        Tenant(name="large", version="2", device_mib={0: 3000}),
    ]

    assert place(replace(ASK, workers=2), gpus, others) == Misfit(
        reason="it does not fit on GPU 0",
        details=(
            "2 workers of 1400 + 600 MiB each",
            "GPU 0: 2244 of 6000 MiB free to promise; large@2 3000, small@1 500",
        ),
        hint="give a fewer workers, less maxGPUMemory, or another host",
    )


def test_the_reason_stays_while_numbers_move():
    reasons = [place(ASK, host(free), []) for free in (100, 1100)]

    assert len({one.reason for one in reasons}) == 1
    assert len({one.details for one in reasons}) == 2


@pytest.mark.parametrize(
    ("gpus", "changes", "reason"),
    [
        pytest.param(
            host(9000, 9000),
            {"device_ids": (0, 1, 2, 3)},
            "deviceIds has 2, 3, this host's GPUs are 0 to 1; TorchServe would ignore "
            "the whole list",
            id="ids that are not there",
        ),
        pytest.param(
            host(9000, mig=[0]),
            {},
            "GPU 0 is in MIG mode, and TorchServe 0.12 cannot be given an instance",
            id="all in MIG mode",
        ),
        pytest.param(
            host(9000, 9000, mig=[1]),
            {"device_ids": (1,)},
            "GPU 1 is in MIG mode, and TorchServe 0.12 cannot be given an instance",
            id="insists on one in MIG mode",
        ),
        pytest.param(
            host(9000, 9000, 9000),
            {"device_ids": (0, 1, 2), "each": 2},
            "deviceIds has 3 GPUs, a worker takes 2 at once",
            id="ids that workers cannot share",
        ),
        pytest.param(
            Gpus(why_none="NVML says Driver Not Loaded"),
            {"must_be_gpu": True},
            "it asks for a GPU and this host has none: NVML says Driver Not Loaded",
            id="a GPU on a CPU host",
        ),
    ],
)
def test_what_torchserve_would_silently_ignore_is_refused(gpus, changes, reason):
    found = place(replace(ASK, **changes), gpus, [])

    assert isinstance(found, Misfit)
    assert found.reason == reason
    assert found.hint


def test_a_cpu_host_takes_what_does_not_insist_on_a_gpu():
    assert place(ASK, Gpus(), []) == Placement(device_ids=(), workers=1, worker_mib=0)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        pytest.param({"deviceType": "cpu"}, None, id="the CPU in any case"),
        pytest.param(
            {"deviceType": "GPU", "minWorkers": 3, "maxWorkers": 3},
            Ask(
                name="a",
                version="1",
                workers=3,
                tensors_mib=150,
                is_estimated=True,
                must_be_gpu=True,
            ),
            id="nothing declared",
        ),
        pytest.param(
            {
                "system": {"maxGPUMemory": 500},
                "deviceIds": [1, 0],
                "parallelType": "tp",
                "torchrun": {"nproc-per-node": 2},
            },
            Ask(
                name="a",
                version="1",
                workers=1,
                tensors_mib=500,
                device_ids=(1, 0),
                each=2,
            ),
            id="everything",
        ),
    ],
)
def test_what_a_model_config_asks(config, found):
    serving = Serving.from_mapping(config)

    assert ask("a", "1", serving, archive_bytes=100 * 2**20) == found


def test_a_placed_version_takes_room_from_the_next():
    placed = place(replace(ASK, workers=2), host(9000, 9000), [])

    assert isinstance(placed, Placement)
    assert tenant(ASK, placed).device_mib == {0: 2000, 1: 2000}


@pytest.mark.parametrize(
    ("processes", "device_ids", "held"),
    [
        pytest.param(({7: 900}, {8: 900}), [], {0: 2000, 1: 2000}, id="by process"),
        pytest.param(({}, {7: 900, 8: 900}), [0], {0: 0, 1: 4000}, id="both on one"),
        pytest.param(({}, {}), [1], {1: 4000}, id="by what TorchServe was told"),
        pytest.param(({}, {}), [], {0: 2000, 1: 2000}, id="anywhere"),
    ],
)
def test_a_registered_version_is_where_its_processes_are(processes, device_ids, held):
    gpus = Gpus(
        devices=tuple(
            Device(index=i, total_mib=9000, free_mib=9000, processes=one)
            for i, one in enumerate(processes)
        )
    )

    seen = tenant_seen(
        replace(ASK, workers=2), gpus, pids=[7, 8], device_ids=device_ids
    )

    assert seen.device_mib == held


@pytest.mark.parametrize(
    ("changes", "held", "seen"),
    [
        pytest.param({}, ({7: 1650}, {8: 1900}), 900, id="the most of all workers"),
        pytest.param({}, ({7: 400}, {}), 0, id="tensors that have not come yet"),
        pytest.param({}, ({}, {9: 5000}), 0, id="somebody else"),
        pytest.param({"is_estimated": True}, ({7: 1900}, {}), 0, id="nothing capped"),
    ],
)
def test_what_workers_hold_beside_their_tensors_is_seen(changes, held, seen):
    gpus = Gpus(
        devices=tuple(
            Device(index=i, total_mib=9000, free_mib=9000, processes=one)
            for i, one in enumerate(held)
        )
    )

    asked = replace(ASK, tensors_mib=1000, **changes)

    assert context_seen_mib(asked, gpus, pids=[7, 8]) == seen
