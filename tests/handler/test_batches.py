"""One batch in, one answer for each request: nobody suffers from a neighbour."""

import json
import logging
import sys
import threading
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch

from base_handler import RequestError, handler_factory
from model_servers_handler.batches import split, takes_several
from model_servers_handler.errors import trouble_of
from model_servers_handler.formats import encode_npy

JSON = "application/json"


class Watched(torch.nn.Module):
    """Doubles numbers; records the size of each batch, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0))
        self.sizes: list[int] = []
        self.limit = 1000

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        if (x == 13).any():
            raise ValueError("13 is not served\nhere")
        return x * self.scale


@pytest.fixture
def served(models: Any) -> Any:
    return models.load(handler_factory(Watched))


def test_samples_of_one_shape_run_as_one_batch(served: Any) -> None:
    replies = served.ask_json([1, 2], [3, 4], [5, 6])

    assert [reply.json for reply in replies] == [[2, 4], [6, 8], [10, 12]]
    assert served.handler.model.sizes == [3]


def test_samples_of_several_shapes_run_as_a_batch_for_each(served: Any) -> None:
    replies = served.ask_json([1], [2, 3], [4], 5)

    assert [reply.json for reply in replies] == [[2], [4, 6], [8], 10]
    assert served.handler.model.sizes == [2, 1, 1]


def test_one_malformed_request_leaves_seven_answers(served: Any) -> None:
    good = [(b"[%d]" % number, JSON) for number in range(7)]

    replies = served.ask(*good[:3], (b"[1,", JSON), *good[3:])

    assert [reply.status for reply in replies] == [200] * 3 + [400] + [200] * 4
    assert replies[3].phrase == "Bad Request"
    assert replies[3].content_type == JSON
    assert replies[3].json == {
        "code": 400,
        "type": "JSONDecodeError",
        "message": "unexpected end of data: line 1 column 4 (char 3)",
    }
    assert served.handler.model.sizes == [7]


def test_a_sample_that_fails_the_model_is_found_by_halving(served: Any) -> None:
    replies = served.ask_json(*([number] for number in range(10, 18)))

    assert [reply.status for reply in replies] == [200] * 3 + [500] + [200] * 4
    assert [r.json for r in replies if r.status == 200] == [
        [2 * number] for number in range(10, 18) if number != 13
    ]
    assert replies[3].phrase == "Internal Server Error"
    assert replies[3].json == {
        "code": 500,
        "type": "ValueError",
        "message": "13 is not served\nhere",
    }
    assert served.handler.model.sizes == [8, 4, 2, 2, 1, 1, 4]


def test_a_shape_that_the_model_cannot_take_is_the_clients_fault(models: Any) -> None:
    served = models.load(
        handler_factory(torch.nn.Linear, in_features=2, out_features=1)
    )

    replies = served.ask_json([1, 2, 3], [1, 2], "text")

    assert [reply.status for reply in replies] == [400, 200, 400]
    assert replies[0].json["message"] == (
        "mat1 and mat2 shapes cannot be multiplied (1x3 and 2x1)"
        " (found float32[3], expected float32[2])"
    )
    assert replies[2].json["message"].endswith("(found str, expected float32[2])")


def test_a_failure_on_a_shape_is_the_models_while_none_has_worked(models: Any) -> None:
    served = models.load(
        handler_factory(torch.nn.Linear, in_features=2, out_features=1)
    )

    assert [reply.status for reply in served.ask_json([1, 2, 3])] == [500]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        pytest.param(ValueError("no"), 400, "ValueError", id="value"),
        pytest.param(TypeError("no"), 400, "TypeError", id="type"),
        pytest.param(KeyError("name"), 400, "KeyError", id="a missing field"),
        pytest.param(RequestError("no", status=422), 422, "RequestError", id="chosen"),
        pytest.param(
            RequestError("no", status=200), 500, "RequestError", id="no error"
        ),
        pytest.param(RuntimeError("no"), 500, "RuntimeError", id="anything else"),
        pytest.param(MemoryError(), 507, "MemoryError", id="memory"),
    ],
)
def test_an_exception_in_preprocess_is_that_requests_answer(
    models: Any, error: Exception, status: int, kind: str
) -> None:
    def preprocess(value: Any) -> Any:
        if value == "bad":
            raise error
        return [value]

    served = models.load(handler_factory(Watched, preprocess))

    good, bad = served.ask_json(1, "bad")

    assert good.json == [2]
    assert (bad.status, bad.json["type"]) == (status, kind)
    assert bad.json["message"] == (str(error) or kind)


def test_a_preprocess_that_returns_nothing_is_told_so(models: Any) -> None:
    served = models.load(handler_factory(Watched, lambda data: data if data else None))

    forgot, fine = served.ask_json([], [1])

    assert (forgot.status, fine.json) == (500, [2])
    assert (
        forgot.json["message"] == "preprocess_function returned None; return one sample"
    )
    assert served.handler.model.sizes == [1]


@pytest.mark.parametrize("error", [ValueError("odd\nline"), ZeroDivisionError("odd")])
def test_an_exception_in_postprocess_is_that_requests_500(
    models: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def postprocess(row: torch.Tensor) -> float:
        if row[0] == 6:
            raise error
        return row.sum().item()

    served = models.load(handler_factory(Watched, None, postprocess))

    replies = served.ask_json([1], [3], [5])

    assert [reply.status for reply in replies] == [200, 500, 200]
    assert replies[1].json["type"] == type(error).__name__
    assert replies[1].json["message"] == str(error)
    assert "\n" not in replies[1].phrase
    assert "Traceback (most recent call last)" in caplog.text
    assert "in postprocess" in caplog.text
    assert "odd" not in caplog.text.replace("raise error", "")


class MuteError(Exception):
    def __str__(self) -> str:
        raise AttributeError("no text")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(MuteError(), "MuteError", id="without a text"),
        pytest.param(SystemExit(1), "SystemExit", id="sys.exit"),
        pytest.param(
            RequestError("odd", status=[422]),  # type: ignore[arg-type]
            "RequestError",
            id="a status that is a list",
        ),
    ],
)
@pytest.mark.parametrize("where", ["preprocess", "model"])
def test_an_odd_exception_is_one_requests_500(
    models: Any, error: BaseException, kind: str, where: str
) -> None:
    def preprocess(value: Any) -> torch.Tensor:
        if where == "preprocess" and value[0] == 3:
            raise error
        return torch.tensor(value, dtype=torch.float32)

    def init_function() -> Any:
        def model(batch: torch.Tensor) -> torch.Tensor:
            if where == "model" and (batch == 3).any():
                raise error
            return batch

        return model

    served = models.load(handler_factory(init_function, preprocess))

    replies = served.ask_json([1], [3], [5])

    assert [reply.status for reply in replies] == [200, 500, 200]
    assert replies[1].json["type"] == kind


def test_logs_hold_no_request(models: Any, caplog: pytest.LogCaptureFixture) -> None:
    def preprocess(value: Any) -> Any:
        return [float(value)]

    served = models.load(handler_factory(Watched, preprocess))

    with caplog.at_level(logging.DEBUG):
        replies = served.ask((b'"my secret"', JSON), (b"secret [", JSON))

    assert [reply.status for reply in replies] == [400, 400]
    assert "secret" in replies[0].json["message"]
    assert "secret" not in caplog.text


def test_preprocess_and_postprocess_see_one_sample(models: Any) -> None:
    seen: list[Any] = []

    def preprocess(value: Any) -> torch.Tensor:
        seen.append(value)
        return torch.tensor([value, value])

    def postprocess(row: torch.Tensor) -> Any:
        seen.append(tuple(row.shape))
        return {"sum": row.sum()}

    served = models.load(handler_factory(Watched, preprocess, postprocess))

    replies = served.ask_json(1.0, 2.0)

    assert [reply.json for reply in replies] == [{"sum": 4}, {"sum": 8}]
    assert seen == [1.0, 2.0, (2,), (2,)]


def test_postprocess_may_change_its_sample(models: Any) -> None:
    def postprocess(row: torch.Tensor) -> torch.Tensor:
        row -= 1
        return row

    served = models.load(handler_factory(Watched, None, postprocess))

    assert served.ask_json([1])[0].json == [1]


def test_threads_share_the_preprocessing_of_a_batch(models: Any) -> None:
    together = threading.Barrier(2, timeout=10)

    def preprocess(value: Any) -> Any:
        together.wait()
        return [value]

    served = models.load(
        handler_factory(Watched, preprocess),
        config={"handler": {"preprocess_threads": 2}},
    )

    assert [reply.json for reply in served.ask_json(1, 2)] == [[2], [4]]


def test_a_collate_function_makes_the_batch(models: Any) -> None:
    def collate(samples: list[list[float]], fill: float) -> torch.Tensor:
        width = max(map(len, samples))
        rows = [row + [fill] * (width - len(row)) for row in samples]
        return torch.tensor(rows)

    served = models.load(
        handler_factory(Watched, collate_function=collate, collate_kwargs={"fill": 0.5})
    )

    replies = served.ask_json([1.0], [2.0, 3.0])

    assert [reply.json for reply in replies] == [[2, 1], [4, 6]]
    assert served.handler.model.sizes == [2]


class TwoInputs(torch.nn.Module):
    def forward(self, left: Any, right: Any) -> dict[str, Any]:
        return {"sum": left + right, "parts": (left, right)}


class OneInput(torch.nn.Module):
    def forward(self, pair: Any) -> Any:
        left, right = pair.values() if isinstance(pair, dict) else pair
        return left + right


@pytest.mark.parametrize("sample", [{"left": [1], "right": [2]}, [1, 2]], ids=repr)
@pytest.mark.parametrize("model", [TwoInputs, OneInput])
def test_dicts_and_tuples_reach_the_model_as_it_takes_them(
    models: Any, model: Any, sample: Any
) -> None:
    def preprocess(value: Any) -> Any:
        return value if isinstance(value, dict) else tuple([part] for part in value)

    served = models.load(handler_factory(model, preprocess))

    replies = served.ask_json(sample, sample)

    expected = {"sum": [3], "parts": [[1], [2]]} if model is TwoInputs else [3]
    assert [reply.json for reply in replies] == [expected] * 2


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        pytest.param(lambda x: x, False, id="one"),
        pytest.param(lambda x, mask=None: (x, mask), True, id="two"),
        pytest.param(lambda *parts: parts, True, id="any by position"),
        pytest.param(lambda **parts: parts, True, id="any by name"),
        pytest.param(dict.update, False, id="nobody knows"),
    ],
)
def test_a_model_takes_several_parts_if_its_forward_does(
    forward: Any, *, expected: bool
) -> None:
    assert takes_several(forward) is expected


def test_a_tensor_payload_stays_one_and_takes_the_models_precision(models: Any) -> None:
    served = models.load(
        handler_factory(torch.nn.Linear, in_features=2, out_features=1)
    )
    body = encode_npy(np.array([1.0, 2.0]))  # float64

    assert served.ask((body, "application/x-npy"))[0].status == 200


def test_whole_numbers_in_a_tensor_stay_whole(models: Any) -> None:
    served = models.load(
        handler_factory(torch.nn.Embedding, num_embeddings=4, embedding_dim=3)
    )
    body = encode_npy(np.array([0, 3]))

    reply = served.ask((body, "application/x-npy"))[0]

    assert np.array(reply.json).shape == (2, 3)


@pytest.mark.parametrize(
    ("preprocess", "seen"),
    [
        pytest.param(np.float32, "list", id="numbers"),
        pytest.param(lambda value: np.array([value]), "ndarray", id="arrays"),
        pytest.param(lambda value: torch.tensor([value]), "Tensor", id="tensors"),
        pytest.param(lambda value: {"x": value}, "list", id="dicts"),
    ],
)
def test_another_callable_gets_arrays_or_tensors_stacked_or_a_list(
    models: Any, preprocess: Any, seen: str
) -> None:
    def model(batch: Any) -> list[str]:
        return [type(batch).__name__] * len(batch)

    served = models.load(handler_factory(lambda: model, preprocess))

    assert [r.body for r in served.ask_json(1, 2)] == [seen.encode()] * 2


def test_a_model_that_cannot_batch_is_asked_one_by_one(models: Any) -> None:
    served = models.load(handler_factory(lambda: lambda batch: [sum(map(sum, batch))]))

    assert [r.json for r in served.ask_json([1], [2], [3])] == [1, 2, 3]


def test_out_of_memory_halves_the_batch_and_remembers(served: Any) -> None:
    served.handler.model.limit = 2

    first = served.ask_json(*([number] for number in range(8)))
    served.handler.model.sizes.clear()
    second = served.ask_json(*([number] for number in range(5)))

    assert [reply.json for reply in first] == [[2 * number] for number in range(8)]
    assert [reply.json for reply in second] == [[2 * number] for number in range(5)]
    assert served.handler.model.sizes == [2, 2, 1]
    assert served.handler.describe()["safeBatch"] == 2


def test_out_of_memory_for_a_single_sample_is_507(served: Any) -> None:
    served.handler.model.limit = 0

    replies = served.ask_json([1], [2])

    assert [reply.status for reply in replies] == [507, 507]
    assert replies[0].phrase == "Insufficient Storage"
    assert replies[0].json["type"] == "OutOfMemoryError"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(torch.OutOfMemoryError("x"), "memory", id="torch's class"),
        pytest.param(MemoryError(), "memory", id="the host's"),
        pytest.param(
            RuntimeError("CUDA error: out of memory"),
            "memory",
            id="beside the allocator",
        ),
        pytest.param(
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
            "memory",
            id="cublas",
        ),
        pytest.param(
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "memory",
            id="cpu",
        ),
        pytest.param(
            torch.AcceleratorError("CUDA error: device-side assert"),
            "device",
            id="assert",
        ),
        pytest.param(
            RuntimeError("CUDA error: an illegal memory access"), "device", id="access"
        ),
        pytest.param(RuntimeError("shapes differ"), None, id="the model's"),
        pytest.param(ValueError("out of memory"), None, id="an author's words"),
    ],
)
def test_trouble_is_told_from_an_exceptions_name_and_text(
    error: BaseException, expected: str | None
) -> None:
    assert trouble_of(error) == expected


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]], id="rows"),
        pytest.param(np.array([1, 2]), [1, 2], id="numbers"),
        pytest.param(["a", {"b": 1}], ["a", {"b": 1}], id="one item for each"),
        pytest.param(
            (np.array([1, 2]), ["a", "b"]), [(1, "a"), (2, "b")], id="several outputs"
        ),
        pytest.param(
            {"n": np.array([1, 2]), "no": None},
            [{"n": 1, "no": None}, {"n": 2, "no": None}],
            id="by name",
        ),
        pytest.param(
            Point(np.array([1, 2]), np.array([3, 4])),
            [Point(1, 3), Point(2, 4)],
            id="named",
        ),
        pytest.param(None, [None, None], id="nothing"),
    ],
)
def test_each_sample_gets_its_part_of_the_output(output: Any, expected: Any) -> None:
    parts = split(output, 2)

    assert [_plain(part) for part in parts] == expected


def _plain(part: Any) -> Any:
    return part.tolist() if isinstance(part, np.ndarray) else part


@pytest.mark.parametrize(
    ("output", "found"),
    [
        pytest.param(torch.zeros(3, 2), "Tensor of shape [3, 2]", id="another count"),
        pytest.param(torch.tensor(1.0), "Tensor of shape []", id="no axis"),
        pytest.param([1], "a list of 1", id="a shorter list"),
        pytest.param({"loss": 0.5}, "float of shape []", id="a number among parts"),
        pytest.param("text", "str of shape []", id="text"),
    ],
)
def test_an_output_without_a_part_for_each_is_refused(output: Any, found: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared
        split(output, 2)

    assert str(caught.value) == (
        f"the model returned {found} for 2 sample(s); the first axis of its output is"
        " the batch"
    )


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


def test_a_batch_of_many_answers_each_as_if_alone(models: Any) -> None:
    served = models.load(
        handler_factory(torch.nn.Linear, in_features=2, out_features=2)
    )
    bodies = [
        b"[1," if number % 10 == 0 else json.dumps([number, number % 7]).encode()
        for number in range(200)
    ]

    together = served.ask(*((body, JSON) for body in bodies))
    alone = [served.ask((body, JSON))[0] for body in bodies]

    assert [reply.status for reply in together] == [reply.status for reply in alone]
    for one, other in zip(together, alone, strict=True):
        if one.status == 200:
            assert one.json == pytest.approx(other.json, rel=1e-5)


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
