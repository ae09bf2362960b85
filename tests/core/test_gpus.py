"""What TorchServe sees of the GPUs, and what may still be promised on each."""

from __future__ import annotations

import pytest

from model_servers.core.gpus import (
    Device,
    Gpus,
    Tenant,
    available_mib,
    vacated,
    visible,
)

TWO = Gpus(
    devices=(
        Device(index=0, total_mib=1000, free_mib=900, uuid="a"),
        Device(index=1, total_mib=2000, free_mib=900, uuid="b"),
    )
)


@pytest.mark.parametrize(
    ("mask", "seen"),
    [
        pytest.param(None, [(0, "a"), (1, "b")], id="not set"),
        pytest.param("0,1", [(0, "a"), (1, "b")], id="all"),
        pytest.param("1", [(0, "b")], id="the second is number 0"),
        pytest.param("1, 0", [(0, "b"), (1, "a")], id="in its order"),
        pytest.param("1,7,0", [(0, "b")], id="CUDA ends at an unknown one"),
    ],
)
def test_device_ids_are_places_in_cuda_visible_devices(mask, seen):
    assert [(one.index, one.uuid) for one in visible(TWO, mask).devices] == seen


@pytest.mark.parametrize("mask", ["GPU-8932f937", "MIG-3e1c", "0,MIG-3e1c"])
def test_with_a_uuid_no_gpu_can_be_used_and_it_is_said_why(mask):
    found = visible(TWO, mask)

    assert found.devices == ()
    assert found.why_none == (
        f"CUDA_VISIBLE_DEVICES is {mask!r}; TorchServe 0.12 takes numbers only, no "
        "UUIDs and no MIG instances"
    )


@pytest.mark.parametrize("mask", ["", "-1", "9"])
def test_a_mask_that_shows_none_makes_a_cpu_host(mask):
    assert visible(TWO, mask) == Gpus(
        why_none=f"CUDA_VISIBLE_DEVICES is {mask!r}, which shows none"
    )


def device(used, **processes):
    return Device(
        index=0,
        total_mib=10_000,
        free_mib=10_000 - used,
        processes={int(pid[1:]): mib for pid, mib in processes.items()},
    )


def tenant(promised, *pids):
    return Tenant(name="a", version="1", device_mib={0: promised}, pids=pids)


HEADROOM = 256


@pytest.mark.parametrize(
    ("one", "tenants", "left"),
    [
        pytest.param(device(0), [], 10_000, id="empty"),
        pytest.param(device(3000, p9=3000), [], 7000, id="somebody else's"),
        pytest.param(device(0), [tenant(4000)], 6000, id="promised, not yet taken"),
        pytest.param(
            device(1000, p1=1000), [tenant(4000, 1)], 6000, id="taken in part"
        ),
        pytest.param(
            device(5000, p1=5000), [tenant(4000, 1)], 5000, id="more than promised"
        ),
        pytest.param(
            device(4000, p1=1000, p9=3000),
            [tenant(4000, 1)],
            3000,
            id="beside somebody else's",
        ),
        pytest.param(
            device(4000, p77=4000), [tenant(4000, 1)], 6000, id="ids of a container"
        ),
        pytest.param(
            device(5000), [tenant(4000, 1)], 5000, id="a driver that names nobody"
        ),
    ],
)
def test_what_is_promised_is_not_promised_twice(one, tenants, left):
    assert available_mib(one, tenants) == left - HEADROOM


def test_a_large_device_keeps_more_free():
    assert Device(index=0, total_mib=80_000, free_mib=0).headroom_mib == 1600


@pytest.mark.parametrize(
    ("one", "free"),
    [
        pytest.param(device(5000, p1=1000, p2=2000, p9=2000), 6000, id="by process"),
        pytest.param(device(5000, p77=5000), 8000, id="ids of a container"),
    ],
)
def test_what_a_tenant_held_is_free_once_it_has_left(one, free):
    going, staying = tenant(3000, 1), tenant(4000, 2)

    left = vacated(one, [going, staying], [going])

    assert left.free_mib == free
    assert 1 not in left.processes
