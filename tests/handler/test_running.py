"""How the model runs: its precision, its memory layout, compiled, and measured."""

import sys
from typing import Any

import numpy as np
import pytest
import torch

from base_handler import handler_factory
from handler.watched import Watched


def test_channels_last_reaches_the_model_and_its_input(models: Any) -> None:
    def postprocess(row: torch.Tensor) -> Any:
        return row.shape

    served = models.load(
        handler_factory(
            torch.nn.Conv2d,
            None,
            postprocess,
            in_channels=3,
            out_channels=2,
            kernel_size=1,
        ),
        config={"handler": {"channels_last": True}},
    )
    seen: list[bool] = []
    model = served.handler.model
    last = torch.channels_last
    model.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].is_contiguous(memory_format=last))
    )

    reply = served.ask_json(np.zeros((3, 4, 4)).tolist())[0]

    assert reply.json == [2, 4, 4]
    assert seen == [True]
    assert model.weight.is_contiguous(memory_format=last)


def test_autocast_lowers_the_models_precision(models: Any) -> None:
    served = models.load(
        handler_factory(
            torch.nn.Linear,
            None,
            lambda row: str(row.dtype),
            in_features=2,
            out_features=1,
        ),
        config={"handler": {"autocast": "bfloat16"}},
    )

    assert served.ask_json([1, 2])[0].body == b"torch.bfloat16"


@pytest.mark.parametrize(
    ("compile_", "arguments"),
    [
        pytest.param(True, {}, id="as it is"),
        pytest.param(
            {"mode": "reduce-overhead"}, {"mode": "reduce-overhead"}, id="how"
        ),
    ],
)
def test_a_model_is_compiled_if_asked_for(
    models: Any, monkeypatch: pytest.MonkeyPatch, compile_: Any, arguments: Any
) -> None:
    # The real one takes seconds to import, and more to run.
    calls: list[Any] = []
    monkeypatch.setattr(
        torch, "compile", lambda model, **kwargs: calls.append(kwargs) or model
    )

    served = models.load(
        handler_factory(Watched), config={"handler": {"compile": compile_}}
    )

    assert calls == [arguments]
    assert served.ask_json([1], [2])[1].json == [4]


def test_the_model_runs_without_autograd(models: Any) -> None:
    served = models.load(
        handler_factory(
            Watched, None, lambda row: [row.requires_grad, row.is_inference()]
        )
    )

    assert served.ask_json([1])[0].json == [False, True]


def test_a_batch_costs_no_metrics_unless_they_are_asked_for(models: Any) -> None:
    class Metrics:
        added: list[tuple[Any, ...]] = []  # noqa: RUF012 - one test's

        def add_time(self, name: str, value: float, idx: int, unit: str) -> None:
            self.added.append((name, value >= 0, idx, unit))

    served = models.load(handler_factory(Watched), metrics=Metrics())

    served.ask_json([1], [2])

    assert Metrics.added == []


def test_metrics_of_the_stages_are_there_if_asked_for(models: Any) -> None:
    class Metrics:
        names: list[str] = []  # noqa: RUF012 - one test's

        def add_time(self, name: str, *_: Any) -> None:
            self.names.append(name)

    config = {"handler": {"stage_metrics": True}}
    served = models.load(handler_factory(Watched), metrics=Metrics(), config=config)

    served.ask_json([1])

    assert Metrics.names == [
        "HandlerTime",
        "PreprocessTime",
        "InferenceTime",
        "PostprocessTime",
    ]


def test_a_model_without_torch_does_not_import_it(models: Any) -> None:
    assert "torch" in sys.modules
    hidden = {name: sys.modules.pop(name) for name in ("torch",)}
    try:
        served = models.load(handler_factory(lambda: lambda batch: batch))
        assert served.ask_json([1])[0].json == [1]
        assert "torch" not in sys.modules
    finally:
        sys.modules.update(hidden)
