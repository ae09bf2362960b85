"""More workers for what serves: admitted where they are, and told where they crowd."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.small_host import Host
from journeys.host.admitting import CAT_1, admit, hungry, serve
from model_servers.core.changes import Register, Scale
from servers.nvml import Simulated


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return hungry(Host(tmp_path))


def test_more_workers_for_what_serves_need_room_too(
    host: Host, gpus: Simulated
) -> None:
    host.server.script("cat-1.0.0", device="gpu")
    (pid,) = serve(host, CAT_1, minWorkers=1, maxWorkers=1, deviceIds=[0])
    gpus.shows([(5800, 1600)], processes=[(0, pid, 1600)])

    fitting, admission = admit(host, {"cat": {"default": "1.0.0", "workers": 3}})
    refused, _ = admit(host, {"cat": {"default": "1.0.0", "workers": 4}})

    assert Scale(CAT_1, 3) in fitting.changes[0].actions
    assert admission.uses[0].peak_mib == 4800
    assert [change.reason for change in refused.refused()] == [
        "it does not fit on GPU 0"
    ]


def test_more_workers_are_on_the_gpus_of_those_that_are_there(
    host: Host, gpus: Simulated
) -> None:
    host.server.script("cat-1.0.0", device="gpu")
    (pid,) = serve(host, CAT_1, minWorkers=1, maxWorkers=1, deviceIds=[1])
    gpus.shows([(9000, 0), (3000, 1600)], processes=[(1, pid, 1600)])

    plan, admission = admit(host, {"cat": {"default": "1.0.0", "workers": 2}})

    assert [change.name for change in plan.refused()] == ["cat"]
    assert admission.refused["cat"].reason == "it does not fit on GPU 1"


def test_more_workers_of_a_version_whose_gpus_torchserve_chose_change_only_them(
    host: Host, gpus: Simulated
) -> None:
    host.server.script("cat-1.0.0", device="gpu")
    (pid,) = serve(host, CAT_1, minWorkers=1, maxWorkers=1)
    gpus.shows([(9000, 1600)], processes=[(0, pid, 1600)])

    plan, _ = admit(host, {"cat": {"default": "1.0.0", "workers": 2}})

    assert not any(isinstance(one, Register) for one in plan.changes[0].actions)
    assert Scale(CAT_1, 2) in plan.changes[0].actions


def test_too_many_workers_for_the_cores_are_told_and_come(host: Host) -> None:
    wanted = {"default": "1.0.0", "workers": 999}

    plan, admission = admit(host, {"cat": wanted, "dog": {**wanted, "workers": 2}})

    assert plan.refused() == []
    assert admission.crowded.keys() == {"cat@1.0.0"}
    assert admission.crowded["cat@1.0.0"].startswith("999 workers on 2 CPU cores; ")


def test_so_are_more_workers_for_what_serves(host: Host) -> None:
    serve(host, CAT_1, minWorkers=1, maxWorkers=1)

    plan, admission = admit(host, {"cat": {"default": "1.0.0", "workers": 999}})

    assert Scale(CAT_1, 999) in plan.changes[0].actions
    assert admission.crowded.keys() == {"cat@1.0.0"}
