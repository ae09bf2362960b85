"""What is said of workers for which a machine has too little; nothing is refused."""

from __future__ import annotations

from typing import Any

import pytest

from model_servers.core.admission import Admission, Candidate, admit
from model_servers.core.crowding import Crew, Machine
from model_servers.core.gpus import Device, Gpus
from model_servers.core.placement import Ask
from model_servers.core.release import Release
from model_servers.core.spec import Serving

TWO_CORES = Machine(cores=2, memory_mib=4000)
ONE_CORE = Machine(cores=1, memory_mib=4000)
A_GPU = Gpus(devices=(Device(index=0, total_mib=9000, free_mib=9000),))
CPU_HOST = Gpus(why_none="no driver")


def _release(
    *, workers: int | None = None, resident_mib: int | None = None, device: str = "cpu"
) -> Release:
    tested: list[dict[str, Any]] = []
    if resident_mib is not None:
        latency_ms = {"p50": 1.0, "p95": 2.0}
        measured = {
            "load_s": 1.0,
            "latency_ms": latency_ms,
            "memory_mib": resident_mib,
        }
        tested.append({"device": device, "golden": [], "measured": measured})
    return Release.from_mapping(
        {
            "name": "cat",
            "version": "1.0",
            "archive": {"size": 9, "sha256": "0" * 64, "framing_blake3": "0" * 64},
            "members": [],
            "inputs_digest": "0" * 64,
            "git_commit": None,
            "toolchain": {},
            "resources": {} if workers is None else {"workers": workers},
            "tested": tested,
        }
    )


def _admission(
    crew: Crew, *, gpus: Gpus = CPU_HOST, machine: Machine = TWO_CORES
) -> Admission:
    return admit([Candidate(name="cat", crews=(crew,))], gpus, [], machine=machine)


def _said(workers: int, *, release: Release | None = None, **more: Any) -> str:
    crew = Crew.of(release or _release(), Serving(min_workers=workers))
    return _admission(crew, **more).crowded.get("cat@1.0", "")


@pytest.mark.parametrize(
    ("workers", "machine", "said"),
    [
        (8, TWO_CORES, ""),
        (
            9,
            TWO_CORES,
            "9 workers on 2 CPU cores; more than 4 a core only wait for one another",
        ),
        (
            999,
            ONE_CORE,
            "999 workers on 1 CPU core; more than 4 a core only wait for one another",
        ),
    ],
)
def test_more_workers_than_cores_can_run_are_told(
    workers: int, machine: Machine, said: str
) -> None:
    assert _said(workers, machine=machine) == said


def test_a_model_config_that_is_silent_asks_for_one_worker() -> None:
    assert Crew.of(_release(), Serving()).workers == 1


@pytest.mark.parametrize(
    ("tested_with", "said"),
    [
        (
            None,
            "3 workers of 1500 MiB each, as measured, need 4500 of 4000 MiB",
        ),
        (2, ""),
    ],
)
def test_measured_memory_that_the_machine_does_not_have_is_told(
    tested_with: int | None, said: str
) -> None:
    release = _release(workers=tested_with, resident_mib=1500)

    assert _said(3, release=release) == said


def test_what_was_measured_beside_a_gpu_says_nothing_of_a_host_without() -> None:
    release = _release(resident_mib=90_000, device="gpu")

    assert _said(1, release=release) == ""


@pytest.mark.parametrize(("device", "told"), [("cpu", {"cat@1.0"}), (None, set())])
def test_workers_on_a_gpu_are_counted_elsewhere(
    device: str | None, told: set[str]
) -> None:
    crew = Crew.of(_release(), Serving(min_workers=99, device_type=device))

    assert _admission(crew, gpus=A_GPU).crowded.keys() == told


def test_nothing_is_said_of_what_is_refused() -> None:
    crew = Crew.of(_release(), Serving(min_workers=99))
    ask = Ask(name="cat", version="1.0", workers=99, tensors_mib=1, must_be_gpu=True)
    candidate = Candidate(name="cat", comes=(ask,), crews=(crew,))

    admission = admit([candidate], CPU_HOST, [], machine=TWO_CORES)

    assert set(admission.refused) == {"cat"}
    assert admission.crowded == {}
