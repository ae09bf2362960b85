"""What the functions and the model get of a sample, and what each answer is made of."""

import logging
from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch

from base_handler import RequestError, handler_factory
from handler.watched import JSON, Watched
from model_servers_handler.batches import split, takes_several
from model_servers_handler.formats import encode_npy


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
