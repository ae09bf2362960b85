"""One batch in, one answer for each request: nobody suffers from a neighbour."""

import json
import threading
from typing import Any

import pytest
import torch

from base_handler import RequestError, handler_factory
from handler.watched import JSON, Watched
from model_servers_handler.errors import trouble_of


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
