"""Plans admitted to GPUs that the real pynvml shows, with what is on them."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fakes.host import Probe
from fakes.small_host import Host
from journeys.host.admitting import CAT_1, CAT_2, admit, hungry, serve
from model_servers.core.admission import Admission, Admitted
from model_servers.core.changes import Drain, Register
from model_servers.core.guards import Override
from model_servers.core.names import Ref
from model_servers.core.placement import Placement
from model_servers.core.profile import Policy
from servers.nvml import Simulated


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return hungry(Host(tmp_path))


def on(*device_ids: int) -> Placement:
    return Placement(device_ids=device_ids, workers=1, worker_mib=1600)


@pytest.mark.parametrize(
    ("gpus_mib", "places"),
    [
        pytest.param([16000], {"cat": on(0), "dog": on(0)}, id="one GPU"),
        pytest.param([2000, 2000], {"cat": on(0), "dog": on(1)}, id="two small ones"),
        pytest.param(
            [1000] * 6 + [2000] * 2,
            {"cat": on(6), "dog": on(7)},
            id="the last of eight",
        ),
    ],
)
def test_models_go_where_there_is_room(
    host: Host, gpus: Simulated, gpus_mib: list[int], places: dict[str, Placement]
) -> None:
    gpus.shows([(mib, 0) for mib in gpus_mib])

    _, admission = admit(host, {"cat": "1.0.0", "dog": "1.0.0"})

    found = {name: one for (name, _), one in admission.placements().items()}
    assert found == places


def test_only_what_does_not_fit_is_refused(host: Host, gpus: Simulated) -> None:
    gpus.shows([(2000, 0)])

    plan, admission = admit(host, {"cat": "1.0.0", "dog": "1.0.0"})

    assert [change.name for change in plan.pending()] == ["cat"]
    assert [change.name for change in plan.refused()] == ["dog"]
    assert plan.changes[1].reason == "it does not fit on GPU 0"
    assert admission.refused["dog"].details == (
        "1 worker of 1000 + 600 MiB each",
        "GPU 0: 144 of 2000 MiB free to promise; cat@1.0.0 1600",
    )


def test_memory_of_other_programs_is_not_promised(host: Host, gpus: Simulated) -> None:
    gpus.shows([(8000, 7000)], processes=[(0, 9, 6900)])

    _, admission = admit(host, {"dog": "1.0.0"})

    assert set(admission.refused) == {"dog"}


def test_a_running_version_keeps_what_it_was_promised(
    host: Host, gpus: Simulated
) -> None:
    (pid,) = serve(host, CAT_1)
    gpus.shows([(3300, 400)], processes=[(0, pid, 300)])

    _, admission = admit(host, {"cat": "1.0.0", "dog": "1.0.0"})

    assert admission.refused["dog"].details[1] == (
        "GPU 0: 1344 of 3300 MiB free to promise; cat@1.0.0 1600"
    )


def test_a_worker_that_holds_more_beside_its_tensors_tells_of_the_next_version(
    host: Host, gpus: Simulated
) -> None:
    (pid,) = serve(host, CAT_1)
    gpus.shows([(4000, 1900)], processes=[(0, pid, 1900)])

    _, admission = admit(host, {"cat": "2.0.0"})

    assert admission.refused["cat"].details[0] == "1 worker of 1000 + 900 MiB each"

    gpus.shows([(5000, 1900)], processes=[(0, pid, 1900)])
    _, admission = admit(host, {"cat": "2.0.0", "dog": "1.0.0"})

    found = admission.placements()
    # Nobody else pays for it.
    assert {key[0]: one.worker_mib for key, one in found.items()} == {
        "cat": 1900,
        "dog": 1600,
    }


def test_a_new_version_stays_on_the_gpu_of_the_old_one(
    host: Host, gpus: Simulated
) -> None:
    (pid,) = serve(host, CAT_1)
    gpus.shows([(4000, 0), (8000, 1000)], processes=[(1, pid, 1000)])

    plan, admission = admit(host, {"cat": "2.0.0"})

    assert admission.placements() == {("cat", "2.0.0"): on(1)}
    (install,) = plan.changes[0].installs
    assert install.overlay == {"deviceIds": [1]}


def test_two_versions_that_do_not_fit_need_a_person(
    host: Host, gpus: Simulated
) -> None:
    (pid,) = serve(host, CAT_1)
    gpus.shows([(2500, 1000)], processes=[(0, pid, 1000)])

    refusing, refused = admit(host, {"cat": "2.0.0"})
    agreed, admission = admit(host, {"cat": "2.0.0"}, Override.DOWNTIME)

    assert not refusing
    assert refused.refused["cat"].reason == "it fits only once the old version is gone"
    (decision,) = admission.decisions.values()
    assert isinstance(decision, Admitted)
    assert decision.old_goes_first
    kinds = [type(action) for action in agreed.changes[0].actions]
    assert kinds.index(Drain) < kinds.index(Register)
    assert agreed.changes[0].downtime == "1.0.0 goes before 2.0.0 comes"


def test_a_profile_can_agree_for_good(tmp_path: Path, gpus: Simulated) -> None:
    host = Host(tmp_path, policy=Policy(allow_downtime=True, drain_s=0))
    for ref in (CAT_1, CAT_2):
        host.publish(ref, config={"system": {"maxGPUMemory": 1000}})
    (pid,) = serve(host, CAT_1)
    gpus.shows([(2500, 1000)], processes=[(0, pid, 1000)])

    plan, _ = admit(host, {"cat": "2.0.0"})

    assert plan.changes[0].downtime == "1.0.0 goes before 2.0.0 comes"


def test_what_is_refused_for_its_silence_makes_no_room_for_others(
    host: Host, gpus: Simulated
) -> None:
    host.publish(
        Ref.parse("cat@3.0.0"),
        config={"deviceType": "cpu", "system": {"maxGPUMemory": 1000}},
    )
    (pid,) = serve(host, CAT_1)
    gpus.shows([(2500, 1000)], processes=[(0, pid, 1000)])
    models = {"cat": {"default": "3.0.0", "update": "resource"}, "dog": "1.0.0"}

    refusing, _ = admit(host, models)
    agreed, _ = admit(host, models, Override.DOWNTIME)

    assert [change.name for change in refusing.refused()] == ["cat", "dog"]
    assert not agreed.refused()


def test_devices_are_counted_as_torchserve_counts_them(
    host: Host, gpus: Simulated
) -> None:
    gpus.shows([(1000, 0), (1000, 0), (9000, 0)])
    probe = Probe()
    probe.variable = "2,0"

    _, admission = admit(host, {"dog": "1.0.0"}, probe=probe)

    assert admission.placements() == {("dog", "1.0.0"): on(0)}
    assert [use.device.physical for use in admission.uses] == [2, 0]


def test_a_cpu_host_serves_what_does_not_insist_on_a_gpu(
    host: Host, gpus: Simulated
) -> None:
    host.publish(Ref.parse("owl@1.0.0"), config={"deviceType": "gpu"})

    plan, admission = admit(host, {"dog": "1.0.0", "owl": "1.0.0"})

    assert [change.name for change in plan.pending()] == ["dog"]
    assert admission.refused["owl"].reason == (
        "it asks for a GPU and this host has none: the driver shows none"
    )


def test_gpus_that_the_host_profile_gives_have_to_be_there(
    host: Host, gpus: Simulated
) -> None:
    wanted = {"dog": {"default": "1.0.0", "device_ids": [7]}}

    _, admission = admit(host, wanted)

    assert admission.refused["dog"].reason == (
        "it asks for a GPU and this host has none: the driver shows none"
    )


def test_nothing_to_register_asks_neither_the_driver_nor_the_store(
    host: Host, gpus: Simulated
) -> None:
    serve(host, CAT_1)
    gpus.shows([], init=18)
    host.store.delete(host.release(CAT_1).key)

    _, admission = admit(host, {"cat": "1.0.0"})

    assert admission == Admission()


BROKEN = [
    pytest.param(
        {"init": 18},
        "the GPUs: RM has detected an NVML/RM version mismatch.",
        id="driver",
    ),
    pytest.param({"lost": [1]}, "GPU 1: GPU is lost", id="one lost"),
    pytest.param({"dumb": [0]}, "GPU 0: Unknown Error", id="a query"),
]


@pytest.mark.parametrize(("broken", "reason"), BROKEN)
@pytest.mark.parametrize("update", ["auto", "availability", "resource"])
def test_a_driver_that_fails_stops_only_what_may_use_a_gpu(
    host: Host, gpus: Simulated, broken: dict[str, Any], reason: str, update: str
) -> None:
    host.publish(Ref.parse("owl@1.0.0"), config={"deviceType": "gpu"})
    host.publish(Ref.parse("emu@1.0.0"), config={"deviceType": "cpu"})
    serve(host, CAT_1)
    gpus.shows([(9000, 0), (9000, 0)], **broken)
    upgrade = {"default": "2.0.0", "update": update}
    models = {"cat": upgrade, "owl": "latest", "emu": "latest"}

    plan, admission = admit(host, models, Override.DOWNTIME)

    assert [change.name for change in plan.pending()] == ["emu"]
    cat, owl = plan.refused()
    assert (cat.name, cat.after) == ("cat", "1.0.0")
    assert cat.reason == f"it may use a GPU, and NVML cannot tell about {reason}"
    assert owl.reason == f"it asks for a GPU, and NVML cannot tell about {reason}"
    assert "`device: cpu` for cat in the host profile" in cat.hint
    assert admission.why_no_gpu == f"NVML cannot tell about {reason}"


def test_a_profile_can_let_a_model_come_while_the_driver_fails(
    host: Host, gpus: Simulated
) -> None:
    gpus.shows([(9000, 0), (9000, 0)], lost=[1])

    plan, _ = admit(
        host, {"dog": {"default": "1.0.0", "device": "cpu"}, "cat": "1.0.0"}
    )

    assert [change.name for change in plan.pending()] == ["dog"]


def test_what_was_applied_is_left_alone_wherever_it_was_placed(
    host: Host, gpus: Simulated
) -> None:
    (pid,) = serve(host, CAT_1, deviceIds=[1])
    gpus.shows([(9000, 0), (9000, 1000)], processes=[(1, pid, 1000)])

    plan, admission = admit(host, {"cat": "1.0.0", "dog": "1.0.0"})

    assert [change.name for change in plan.pending()] == ["dog"]
    assert admission.placements() == {("dog", "1.0.0"): on(1)}


def test_gpus_that_the_profile_names_are_taken_or_the_model_is_refused(
    host: Host, gpus: Simulated
) -> None:
    gpus.shows([(9000, 0), (9000, 0)])
    named = {"default": "1.0.0", "device_ids": [1]}

    plan, _ = admit(host, {"cat": named, "dog": {**named, "device_ids": [7]}})

    assert plan.changes[0].installs[0].overlay == {"deviceIds": [1]}
    assert plan.changes[1].reason == (
        "deviceIds has 7, this host's GPUs are 0 to 1; TorchServe would ignore the "
        "whole list"
    )


def test_workers_that_the_profile_asks_for_are_counted(
    host: Host, gpus: Simulated
) -> None:
    gpus.shows([(3000, 0), (3000, 0)])

    _, admission = admit(host, {"cat": {"default": "1.0.0", "workers": 2}})

    (found,) = admission.placements().values()
    assert (found.device_ids, found.workers) == ((0, 1), 2)


def test_what_a_plan_reads_of_archives_comes_once_and_at_the_same_time(
    host: Host,
) -> None:
    together = threading.Barrier(2)

    def before_read(key: str) -> None:
        if key.endswith(".mar"):
            together.wait(60)  # breaks if one model waits for the other

    host.store.before_read = before_read
    host.store.calls.clear()

    admit(host, {"cat": "1.0.0", "dog": "1.0.0"})

    read = Counter(key for method, key in host.store.calls if method == "chunks")
    # The manifest, and the model config that it names.
    assert set(read.values()) == {2}
    assert len(read) == 2
