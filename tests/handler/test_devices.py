"""Which device a worker takes, how it is bounded, and what happens when it breaks.

No GPU is needed: torch.cuda's functions are replaced where they are called.
"""

import logging
import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from base_handler import handler_factory
from model_servers_handler.answering import end_process_soon
from model_servers_handler.batches import stack_pinned
from model_servers_handler.devices import Device, memory_fraction, take_device
from model_servers_handler.options import Options


class Cuda:
    """Records what would be done to GPUs of 16 GiB."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.broken = False
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(
            torch.cuda,
            "get_device_properties",
            lambda _: SimpleNamespace(total_memory=16 * 2**30),
        )
        for name in (
            "set_device",
            "set_per_process_memory_fraction",
            "empty_cache",
            "synchronize",
        ):
            monkeypatch.setattr(torch.cuda, name, self._recorder(name))

    def _recorder(self, name: str) -> Any:
        def record(*args: Any) -> None:
            self.calls.append((name, *args))
            if self.broken:
                raise RuntimeError("CUDA error: device-side assert triggered")

        return record


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    return Cuda(monkeypatch)


def options(**config: Any) -> Options:
    return Options.parse(config)


def test_a_worker_without_a_gpu_runs_on_the_cpu() -> None:
    assert take_device(None, options()) == Device()


@pytest.mark.parametrize("spelling", ["gpu", "GPU"])
def test_asking_for_a_gpu_where_there_is_none_is_refused(
    models: Any, spelling: str
) -> None:
    functions = handler_factory(lambda: lambda batch: batch)

    assert models.refusal(functions, config={"deviceType": spelling}) == (
        "model-config.yaml has deviceType gpu, and TorchServe found no GPU on this"
        " host; run it on one, or use deviceType cpu"
    )


def test_a_torch_that_cannot_use_the_gpu_is_refused_if_one_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with pytest.raises(RuntimeError) as caught:
        take_device(1, options(deviceType="gpu"))

    assert str(caught.value) == (
        f"TorchServe gave this worker GPU 1, and torch {torch.__version__} can use"
        " none; install a torch built for this GPU"
    )


def test_a_torch_that_cannot_use_the_gpu_says_so_if_none_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    with caplog.at_level(logging.WARNING):
        device = take_device(1, options())

    assert device == Device()
    assert "can use none; the model runs on the CPU" in caplog.text


def test_the_gpu_is_chosen_before_its_memory_is_bounded(cuda: Cuda) -> None:
    device = take_device(3, options(system={"maxGPUMemory": 4096}))

    assert device == Device(3, 4096)
    assert device.name == "cuda:3"
    assert cuda.calls == [
        ("set_device", 3),
        ("set_per_process_memory_fraction", 0.25, 3),
    ]


def test_a_gpu_without_a_bound_is_not_bounded(cuda: Cuda) -> None:
    take_device(0, options(deviceType="gpu"))

    assert cuda.calls == [("set_device", 0)]


@pytest.mark.parametrize(
    ("limit_mib", "fraction"),
    [
        pytest.param(500, 500 * 2**20 / (16 * 2**30), id="MB of 2^20 bytes"),
        pytest.param(16 * 1024, 1.0, id="all of it"),
        pytest.param(99999, 1.0, id="more than there is"),
        pytest.param(0.5, 0.5 * 2**20 / (16 * 2**30), id="less than one"),
    ],
)
def test_the_bound_is_a_share_of_the_device(limit_mib: float, fraction: float) -> None:
    found = memory_fraction(limit_mib, 16 * 2**30)

    assert isinstance(found, float)
    assert found == fraction


def test_memory_that_ran_out_is_given_back_before_the_next_try(cuda: Cuda) -> None:
    assert not Device(1).is_lost_after("memory")
    assert cuda.calls == [("synchronize", 1), ("empty_cache",)]


def test_an_error_of_the_device_that_does_not_stick_keeps_it(cuda: Cuda) -> None:
    assert not Device(1).is_lost_after("device")


def test_an_error_that_sticks_to_the_device_loses_it(cuda: Cuda) -> None:
    cuda.broken = True

    assert Device(1).is_lost_after("device")


def test_a_cpu_is_never_lost() -> None:
    assert not Device().is_lost_after("device")


class Breaking(Device):
    """A CPU that is lost as a GPU would be."""

    def is_lost_after(self, trouble: str | None) -> bool:
        return trouble == "device"


@pytest.fixture
def breaking(models: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    def model(batch: list[Any]) -> list[Any]:
        if "bad" in batch:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        return batch

    def preprocess(value: Any) -> Any:
        if value == "bad at once":
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        return value

    served = models.load(handler_factory(lambda: model, preprocess))
    served.handler.device = Breaking()
    ends: list[str] = []
    monkeypatch.setattr(
        "model_servers_handler.answering.end_process_soon", lambda: ends.append("end")
    )
    served.ends = ends
    return served


def test_a_lost_device_answers_507_and_ends_the_process(breaking: Any) -> None:
    replies = breaking.ask_json("good", "bad")

    assert [reply.status for reply in replies] == [507, 507]
    assert replies[0].json == {
        "code": 507,
        "type": "DeviceLost",
        "message": "the GPU failed; the worker is restarting",
    }
    assert breaking.ends == ["end"]


def test_what_was_answered_before_the_device_was_lost_is_sent(breaking: Any) -> None:
    replies = breaking.ask_json(1, "bad", "good")

    assert [reply.status for reply in replies] == [200, 507, 507]


def test_a_device_lost_while_preprocessing_ends_the_process_too(breaking: Any) -> None:
    replies = breaking.ask_json("bad at once", "good")

    assert [reply.status for reply in replies] == [500, 507]
    assert breaking.ends == ["end"]


def test_a_lost_device_is_not_asked_again(breaking: Any) -> None:
    breaking.ask_json("bad")

    assert breaking.ask_json("good")[0].status == 507


def test_the_process_ends_after_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    class Timer:
        def __init__(self, delay_s: float, function: Any, args: Any) -> None:
            self.plan = (delay_s, function, args)

        def start(self) -> None:
            started.append(self.plan)

    monkeypatch.setattr(threading, "Timer", Timer)

    end_process_soon()

    assert started == [(0.5, os._exit, (1,))]


@pytest.fixture
def _no_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = torch.empty
    monkeypatch.setattr(
        torch, "empty", lambda shape, dtype, pin_memory: empty(shape, dtype=dtype)
    )


@pytest.mark.usefixtures("_no_pinned_memory")
def test_batches_are_stacked_in_one_buffer_that_grows() -> None:
    buffers: dict[Any, Any] = {}
    samples = [torch.tensor([float(number)]) for number in range(4)]

    three = stack_pinned(samples[:3], buffers)
    two = stack_pinned(samples[2:], buffers)
    four = stack_pinned(samples, buffers)

    assert two.data_ptr() == three.data_ptr()
    assert two.tolist() == [[2], [3]]
    assert four.tolist() == [[0], [1], [2], [3]]
    assert [len(buffer) for buffer in buffers.values()] == [4]


@pytest.mark.usefixtures("_no_pinned_memory")
def test_buffers_of_many_shapes_do_not_pile_up() -> None:
    buffers: dict[Any, Any] = {}
    for size in range(1, 30):
        stack_pinned([torch.zeros(size)], buffers)

    assert len(buffers) <= 8


def test_a_gpu_reports_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, mib in {
        "memory_allocated": 100,
        "memory_reserved": 120,
        "max_memory_reserved": 250.06,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, mib=mib: mib * 2**20)

    assert Device(1, 500).report() == {
        "device": "cuda:1",
        "memoryLimitMB": 500,
        "memoryAllocatedMB": 100.0,
        "memoryReservedMB": 120.0,
        "memoryPeakMB": 250.1,
    }
