"""What the author gives: options, functions and an example request."""

from pathlib import Path
from typing import Any

import pytest

import base_handler
from base_handler import handler_factory
from handler.functions import echo
from model_servers_handler.options import Options

HANDLER = Path(base_handler.__file__)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        pytest.param(
            {"handler": {"chanels_last": True}},
            "model-config.yaml: handler has no option 'chanels_last'; did you mean"
            " channels_last?",
            id="a slip",
        ),
        pytest.param(
            {"system": {"maxGpuMemory": 500}},
            "model-config.yaml: system has no option 'maxGpuMemory'; did you mean"
            " maxGPUMemory?",
            id="other capitals",
        ),
        pytest.param(
            {"system": {"zzz": 1}},
            "model-config.yaml: system has no option 'zzz'; the options are extraFiles,"
            " maxGPUMemory",
            id="nothing like it",
        ),
        pytest.param(
            {"handler": ["compile"]},
            "model-config.yaml: handler must be a mapping of options",
            id="a list",
        ),
        pytest.param(
            {"system": {"maxGPUMemory": 0}},
            "model-config.yaml: system.maxGPUMemory is 0; expected a number of MB above"
            " 0",
            id="no memory",
        ),
        pytest.param(
            {"system": {"maxGPUMemory": "500MB"}},
            "model-config.yaml: system.maxGPUMemory is '500MB'; expected a number of MB"
            " above 0",
            id="memory as text",
        ),
        pytest.param(
            {"handler": {"autocast": "int8"}},
            "model-config.yaml: handler.autocast is 'int8'; expected bfloat16 or"
            " float16",
            id="autocast",
        ),
        pytest.param(
            {"handler": {"preprocess_threads": True}},
            "model-config.yaml: handler.preprocess_threads is True; expected a whole"
            " number above 0",
            id="threads",
        ),
        pytest.param(
            {"handler": {"warmup": {"json": 1, "text": "1"}}},
            "model-config.yaml: handler.warmup is {'json': 1, 'text': '1'}; expected a"
            " mapping of content_type and one of json, text, file",
            id="warmup",
        ),
        pytest.param(
            {"handler": {"init_kwargs": {1: 2}}},
            "model-config.yaml: handler.init_kwargs is {1: 2}; expected a mapping of"
            " arguments by name",
            id="arguments",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(
    models: Any, config: dict[str, Any], reason: str
) -> None:
    assert models.refusal(handler_factory(echo), config=config) == reason


@pytest.mark.parametrize("config", [None, {}, {"handler": None, "system": {}}])
def test_no_options_are_all_defaults(models: Any, config: Any) -> None:
    assert models.load(handler_factory(echo), config=config).handler.options == (
        Options()
    )


def test_arguments_in_the_code_win_over_those_in_the_config(models: Any) -> None:
    def init_function(**kwargs: Any) -> Any:
        return lambda batch: [{**kwargs, "seen": value} for value in batch]

    def preprocess(value: Any, scale: int, shift: int) -> Any:
        return value * scale + shift

    def postprocess(value: Any, unit: str) -> Any:
        return {**value, "unit": unit}

    served = models.load(
        handler_factory(
            init_function, preprocess, postprocess, preprocess_kwargs={"scale": 10}, a=1
        ),
        config={
            "handler": {
                "init_kwargs": {"a": 0, "b": 2},
                "preprocess_kwargs": {"scale": 0, "shift": 5},
                "postprocess_kwargs": {"unit": "m"},
            }
        },
    )

    assert served.ask_json(7)[0].json == {"a": 1, "b": 2, "seen": 75, "unit": "m"}


def test_arguments_that_a_function_does_not_take_are_refused(models: Any) -> None:
    functions = handler_factory(echo, lambda value: value, preprocess_kwargs={"top": 1})

    assert models.refusal(functions) == (
        "preprocess_function cannot be called: got an unexpected keyword argument 'top'"
    )


def test_a_function_that_takes_no_sample_is_refused(models: Any) -> None:
    assert models.refusal(handler_factory(echo, None, lambda: 1)) == (
        "postprocess_function cannot be called: too many positional arguments"
    )


@pytest.mark.parametrize(
    "warmup",
    [
        pytest.param({"content_type": "application/json", "json": [1]}, id="json"),
        pytest.param({"content_type": "application/json", "text": "[1]"}, id="text"),
        pytest.param({"file": "example.json"}, id="file"),
    ],
)
def test_a_worker_is_ready_once_it_answered_the_example(
    models: Any, warmup: dict[str, Any]
) -> None:
    models.write({"example.json": "[1]"})
    seen: list[Any] = []

    models.load(
        handler_factory(lambda: lambda batch: seen.append(batch) or batch),  # type: ignore[func-returns-value]  # records
        config={"handler": {"warmup": warmup}},
        batch_size=3,
    )

    assert seen == [[[1]], [[1], [1], [1]]]


def test_the_example_can_be_given_in_the_code(models: Any) -> None:
    seen: list[Any] = []

    models.load(handler_factory(echo, seen.append, example_input="x"))

    assert seen == ["x"]


@pytest.mark.parametrize("size", [1, 4])
def test_an_example_that_fails_is_a_reason_not_to_serve(models: Any, size: int) -> None:
    def init_function() -> Any:
        def model(batch: list[Any]) -> list[Any]:
            if len(seen) < size:
                seen.extend(batch)
                return batch
            raise KeyError("two\nlines")

        return model

    seen: list[Any] = [None] * (1 if size == 1 else 3)
    functions = handler_factory(init_function, example_input=1)

    assert models.refusal(functions, batch_size=4) == (
        f"the warm-up in a batch of {size} failed: KeyError: 'two\\nlines'"
    )
