"""The real pynvml, above a library that shows GPUs which are not there."""

from __future__ import annotations

import os
import subprocess
import sys

import pynvml
import pytest

from model_servers.adapters import gpu_environment, nvml
from model_servers.core.gpus import Device, Gpus
from model_servers.errors import OutsideError
from servers.nvml import Simulated


@pytest.mark.parametrize("count", [1, 2, 8])
def test_every_gpu_is_seen_with_its_memory(gpus: Simulated, count: int) -> None:
    gpus.shows([(16384, 100 * i) for i in range(count)])

    assert nvml.gpus() == Gpus(
        devices=tuple(
            Device(
                index=i,
                name="Stub GPU",
                uuid=f"GPU-stub-{i}",
                total_mib=16384,
                free_mib=16384 - 100 * i,
            )
            for i in range(count)
        )
    )


def test_what_each_process_holds_is_seen(gpus: Simulated) -> None:
    gpus.shows(
        [(16384, 900), (16384, 0)], processes=[(0, 71, 500), (0, 72, 300), (1, 71, 9)]
    )

    assert [one.processes for one in nvml.gpus().devices] == [
        {71: 500, 72: 300},
        {71: 9},
    ]


def test_a_gpu_in_mig_mode_is_told_from_others(gpus: Simulated) -> None:
    gpus.shows([(16384, 0), (16384, 0)], mig=[1])

    assert [one.is_mig for one in nvml.gpus().devices] == [False, True]


def test_a_machine_without_gpus_is_a_cpu_host(gpus: Simulated) -> None:
    assert nvml.gpus() == Gpus(why_none="the driver shows none")


def test_a_machine_whose_driver_is_not_loaded_is_a_cpu_host(gpus: Simulated) -> None:
    gpus.shows([], init=pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    assert nvml.gpus() == Gpus(why_none="NVML says Driver Not Loaded")


def test_a_broken_driver_is_no_cpu_host(gpus: Simulated) -> None:
    gpus.shows([(16384, 0)], init=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

    with pytest.raises(OutsideError, match="version mismatch") as caught:
        nvml.gpus()

    assert "reboot" in caught.value.hint


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"lost": [1]}, "NVML cannot tell about GPU 1: GPU is lost"),
        ({"dumb": [0]}, "NVML cannot tell about GPU 0: Unknown Error"),
    ],
)
def test_a_gpu_that_cannot_be_seen_is_named(
    gpus: Simulated, broken: dict[str, list[int]], message: str
) -> None:
    gpus.shows([(16384, 0), (16384, 0)], **broken)  # type: ignore[arg-type]

    with pytest.raises(OutsideError) as caught:
        nvml.gpus()

    assert str(caught.value) == message


def test_doctor_names_the_gpus(gpus: Simulated) -> None:
    gpus.shows([(81920, 0)])

    assert nvml.names() == ("Stub GPU (80 GiB)",)


def test_the_mask_is_that_of_torchserves_workers() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "3,1", "PATH": os.environ["PATH"]}
    program = [sys.executable, "-c", "print('here', flush=True); input()"]
    with subprocess.Popen(
        program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"here\n"
        found = gpu_environment.mask([worker.pid], {"CUDA_VISIBLE_DEVICES": "0"})
        worker.stdin.write(b"\n")
        worker.stdin.close()

    assert found == "3,1"


def test_without_a_worker_the_mask_is_our_own() -> None:
    assert gpu_environment.mask([], {"CUDA_VISIBLE_DEVICES": "2"}) == "2"
    assert gpu_environment.mask([2**22], {}) is None
