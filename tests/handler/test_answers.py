"""What a model's result becomes before its client sees it."""

import dataclasses
import io
import json
import sys
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from base_handler import handler_factory
from model_servers_handler.answers import Answer, encode
from model_servers_handler.json_text import json_codec, json_default
from model_servers_handler.options import Options

JSON = "application/json"


@dataclasses.dataclass
class Box:
    label: str
    corner: Any


@pytest.fixture(params=["orjson", "stdlib"])
def _each_codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "stdlib":
        monkeypatch.setitem(sys.modules, "orjson", None)
    json_codec.cache_clear()
    yield
    monkeypatch.undo()
    json_codec.cache_clear()


@pytest.mark.usefixtures("_each_codec")
@pytest.mark.parametrize(
    ("value", "body"),
    [
        pytest.param(
            {"a": [1, 2.5, None, True]}, b'{"a":[1,2.5,null,true]}', id="plain"
        ),
        pytest.param(
            (0.5, 281, "cat"), b'[0.5,281,"cat"]', id="a tuple, as the guide's"
        ),
        pytest.param(torch.tensor([[1, 2]]), b"[[1,2]]", id="a tensor"),
        pytest.param(torch.tensor(0.5), b"0.5", id="a tensor of one number"),
        pytest.param(torch.tensor([0.5]).bfloat16(), b"[0.5]", id="bfloat16"),
        pytest.param(torch.tensor([0.5]).half(), b"[0.5]", id="float16"),
        pytest.param(torch.zeros(2, 3).t()[:1], b"[[0.0,0.0]]", id="not contiguous"),
        pytest.param(
            torch.tensor([1.0], requires_grad=True), b"[1.0]", id="with a grad"
        ),
        pytest.param([torch.tensor([True])], b"[[true]]", id="a tensor in a list"),
        pytest.param(np.array([1, 2]), b"[1,2]", id="an array"),
        pytest.param(np.array(["a"]), b'["a"]', id="an array of text"),
        pytest.param({"n": np.float32(0.5)}, b'{"n":0.5}', id="numpy's number"),
        pytest.param(np.int64(3), b"3", id="numpy's whole number"),
        pytest.param(
            Box("cat", torch.tensor([1])),
            b'{"label":"cat","corner":[1]}',
            id="a dataclass",
        ),
        pytest.param(OrderedDict(a=1), b'{"a":1}', id="a kind of dict"),
        pytest.param({1: "a"}, b'{"1":"a"}', id="keys that are numbers"),
        pytest.param(2**70, b"1180591620717411303424", id="a large number"),
        pytest.param(
            [float("nan"), float("inf")], b"[null,null]", id="json has no NaN"
        ),
        pytest.param(
            {"x": (torch.tensor([float("nan")]), "y", 1)},
            b'{"x":[[null],"y",1]}',
            id="in it",
        ),
        pytest.param(None, b"null", id="nothing"),
    ],
)
def test_results_become_compact_json(value: Any, body: bytes) -> None:
    answer = encode(value, accept="")

    assert answer == Answer(body, JSON)


@pytest.mark.parametrize(
    ("value", "body", "content_type"),
    [
        pytest.param("né", "né".encode(), "text/plain; charset=utf-8", id="text"),
        pytest.param(b"\0", b"\0", "application/octet-stream", id="bytes"),
        pytest.param(
            bytearray(b"\0"), b"\0", "application/octet-stream", id="bytearray"
        ),
        pytest.param(memoryview(b"\0"), b"\0", "application/octet-stream", id="a view"),
    ],
)
def test_text_and_bytes_are_sent_as_they_are(
    value: Any, body: bytes, content_type: str
) -> None:
    assert encode(value, "") == Answer(body, content_type)


@pytest.mark.usefixtures("_each_codec")
@pytest.mark.parametrize(
    "value",
    [
        pytest.param({1, 2}, id="a set"),
        pytest.param([object()], id="an object in a list"),
        pytest.param(Box, id="a class"),
        pytest.param("\ud800", id="text that is no unicode"),
    ],
)
def test_what_json_has_nothing_for_is_that_requests_500(
    models: Any, value: Any
) -> None:
    def postprocess(row: Any) -> Any:
        return value if row == 1 else row

    served = models.load(handler_factory(lambda: list, None, postprocess))

    replies = served.ask_json(0, 1, 2)

    assert [reply.status for reply in replies] == [200, 500, 200]
    assert set(replies[1].json) == {"code", "type", "message"}


def test_a_set_is_refused_with_what_to_return_instead() -> None:
    with pytest.raises(TypeError) as caught:
        json_default({1})

    assert str(caught.value) == (
        "set cannot be encoded as JSON; return numbers, text, lists, dicts, tensors,"
        " arrays or dataclasses from postprocess_function"
    )


def ask_accepting(models: Any, result: Any, accept: str, name: str = "Accept") -> Any:
    served = models.load(handler_factory(lambda: lambda batch: [result] * len(batch)))
    return served.ask((b"1", JSON, {name: accept}))[0]


@pytest.mark.parametrize("name", ["Accept", "accept", "ACCEPT"])
@pytest.mark.parametrize("accept", ["application/x-npy", "text/html, application/npy"])
def test_a_client_can_have_an_npy_file(models: Any, accept: str, name: str) -> None:
    reply = ask_accepting(models, torch.tensor([[1.5, 2.5]]), accept, name)

    array = np.load(io.BytesIO(reply.body), allow_pickle=False)
    assert reply.content_type in accept
    assert (array.dtype, array.tolist()) == (np.float32, [[1.5, 2.5]])


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([[1.5], [2.5]]),
        torch.tensor([1.5]).bfloat16(),
        torch.tensor(3),
        torch.zeros(0, 2),
        torch.arange(6).reshape(2, 3).t(),
        torch.tensor([True]),
    ],
    ids=lambda tensor: f"{tensor.dtype}{list(tensor.shape)}",
)
def test_a_client_can_have_a_safetensors_file(
    models: Any, tensor: torch.Tensor
) -> None:
    reply = ask_accepting(models, {"x": tensor}, "application/safetensors")

    found = safetensors.torch.load(reply.body)["x"]
    assert reply.content_type == "application/safetensors"
    assert found.dtype == tensor.dtype
    assert torch.equal(found, tensor)


def test_a_lone_tensor_in_a_safetensors_file_is_named_output(models: Any) -> None:
    reply = ask_accepting(models, [1, 2], "application/safetensors")

    assert safetensors.torch.load(reply.body)["output"].tolist() == [1, 2]


@pytest.mark.parametrize("accept", ["application/x-npy", "application/safetensors"])
@pytest.mark.parametrize("result", [{"a": {"b": "c"}}, [[1], [2, 3]]], ids=repr)
def test_what_is_no_array_cannot_be_had_as_one(
    models: Any, result: Any, accept: str
) -> None:
    reply = ask_accepting(models, result, accept)

    assert (reply.status, reply.phrase) == (406, "Not Acceptable")
    assert reply.json["message"].endswith("accept JSON")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", ""])
def test_any_other_accept_gets_json(models: Any, accept: str) -> None:
    assert ask_accepting(models, [1], accept).body == b"[1]"


def test_an_answer_too_large_for_torchserve_is_that_requests_500(models: Any) -> None:
    served = models.load(
        handler_factory(lambda: lambda sizes: ["x" * size for size in sizes]),
        config={"handler": {"max_response_bytes": 10}},
    )

    replies = served.ask_json(10, 11, 1)

    assert [reply.status for reply in replies] == [200, 500, 200]
    assert replies[1].json == {
        "code": 500,
        "type": "ResponseTooLarge",
        "message": "the answer is 11 bytes long, more than 10",
    }


def test_the_limit_is_torchserves_own_unless_set() -> None:
    assert Options.parse({}).max_response_bytes == 6_553_500


@pytest.mark.parametrize("message", ["two\nlines", "\r\n\r\n", "né", "\ud800", ""])
def test_an_errors_text_is_in_the_body_and_never_in_the_phrase(
    models: Any, message: str
) -> None:
    def preprocess(value: Any) -> Any:
        raise ValueError(message)

    served = models.load(handler_factory(lambda: lambda batch: batch, preprocess))

    reply = served.ask_json(1)[0]

    assert reply.phrase == "Bad Request"
    assert reply.json["message"] == (message or "ValueError")
    assert json.loads(reply.body.decode("ascii"))["code"] == 400
