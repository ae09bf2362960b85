"""What a request's bytes become before an author's function sees them."""

import io
import json
import sys
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from PIL import Image

from base_handler import RequestError
from model_servers_handler.errors import CLIENT_ERRORS
from model_servers_handler.formats import NPY
from model_servers_handler.json_text import json_codec
from model_servers_handler.requests import decode
from model_servers_handler.tensors import to_tensors


def typed(content_type: str) -> dict[str, Any]:
    return {"body": {"content-type": content_type}}


def decoded(body: bytes, content_type: str, raw_types: tuple[str, ...] = ()) -> Any:
    fields = {"body": bytearray(body)}
    return decode(fields, typed(content_type), raw_types)


def npy(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    return buffer.getvalue()


def picture(format_: str, size: tuple[int, int] = (3, 2)) -> bytes:
    buffer = io.BytesIO()
    image = Image.effect_noise(size, 50) if size != (3, 2) else Image.new("RGB", size)
    image.save(buffer, format_)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        pytest.param(
            b'{"a": [1, 2.5]}', "application/json", {"a": [1, 2.5]}, id="json"
        ),
        pytest.param(b"3", "application/json; charset=utf-8", 3, id="with parameters"),
        pytest.param(b"[]", "Application/JSON", [], id="capitals"),
        pytest.param(b"null", "application/vnd.x+json", None, id="a kind of json"),
        pytest.param("né".encode(), "text/plain", "né", id="text"),
        pytest.param(b"a,b", "text/csv", "a,b", id="csv is text"),
        pytest.param(b"\0\1", "application/octet-stream", b"\0\1", id="bytes"),
        pytest.param(b"RIFF", "audio/wav", b"RIFF", id="sound stays bytes"),
        pytest.param(b"[1, 2]", "", [1, 2], id="json of no type"),
        pytest.param(b"[1, 2", "", b"[1, 2", id="bytes of no type"),
        pytest.param(b"\x80\x04N.", "", b"\x80\x04N.", id="a pickle stays bytes"),
    ],
)
def test_a_body_is_decoded_by_its_content_type(
    body: bytes, content_type: str, expected: Any
) -> None:
    assert decoded(body, content_type) == expected


@pytest.mark.parametrize("content_type", ["image/png", "image/*", ""])
def test_an_image_becomes_a_pil_image(content_type: str) -> None:
    image = decoded(picture("PNG"), content_type)

    assert (image.mode, image.size) == ("RGB", (3, 2))
    assert image.getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("content_type", [*NPY, ""])
def test_an_npy_file_becomes_an_array(content_type: str) -> None:
    array = decoded(npy(np.arange(6, dtype=np.int16).reshape(2, 3)), content_type)

    assert array.dtype == np.int16
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_safetensors_file_of_one_tensor_becomes_that_tensor() -> None:
    body = safetensors.numpy.save({"x": np.array([[1.5, 2.5]], dtype=np.float32)})

    tensor = decoded(body, "application/safetensors")

    assert tensor.dtype == torch.float32
    assert tensor.tolist() == [[1.5, 2.5]]


def test_a_safetensors_file_of_several_becomes_a_dict() -> None:
    body = safetensors.numpy.save(
        {"ids": np.array([7, 8]), "none": np.zeros((0, 3)), "flag": np.array([True])}
    )

    tensors = decoded(body, "application/safetensors")

    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "ids": [7, 8],
        "none": [],
        "flag": [True],
    }
    assert tensors["none"].shape == (0, 3)


def header_of(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text


def entry(**changes: Any) -> bytes:
    value = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}
    return header_of(json.dumps({"x": value}).encode()) + b"\0\0\0\0"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"{", "application/json", id="broken json"),
        pytest.param(b"", "application/json", id="empty json"),
        pytest.param(b"NaN", "application/json", id="json has no NaN"),
        pytest.param(b"\xff", "application/json", id="json that is not utf-8"),
        pytest.param(b"[" * 100_000, "application/json", id="json that is too deep"),
        pytest.param(b"\xff", "text/plain", id="text that is not utf-8"),
        pytest.param(b"no image", "image/png", id="no image"),
        pytest.param(
            picture("JPEG", size=(64, 64))[:-200], "image/jpeg", id="half an image"
        ),
        pytest.param(npy(np.array([{}])), "application/x-npy", id="npy with a pickle"),
        pytest.param(b"\x80\x04N.", "application/x-npy", id="a pickle named npy"),
        pytest.param(b"short", "application/safetensors", id="no safetensors"),
        pytest.param(
            header_of(b"[1]"), "application/safetensors", id="header is a list"
        ),
        pytest.param(
            entry(data_offsets=[0, 8], shape=[2]),
            "application/safetensors",
            id="outside",
        ),
        pytest.param(
            entry(data_offsets=[-8, -4]), "application/safetensors", id="before"
        ),
        pytest.param(
            entry(shape=[3]), "application/safetensors", id="shape is not size"
        ),
        pytest.param(entry(dtype="F31"), "application/safetensors", id="unknown dtype"),
    ],
)
@pytest.mark.parametrize("with_orjson", [True, False], ids=["orjson", "stdlib"])
def test_content_that_is_not_what_its_type_says_is_the_clients_fault(
    body: bytes, content_type: str, *, with_orjson: bool, without_orjson: Any
) -> None:
    if not with_orjson:
        without_orjson()

    with pytest.raises(CLIENT_ERRORS):
        decoded(body, content_type)


@pytest.fixture
def without_orjson(monkeypatch: pytest.MonkeyPatch) -> Any:
    def hide() -> None:
        monkeypatch.setitem(sys.modules, "orjson", None)
        json_codec.cache_clear()

    yield hide
    monkeypatch.undo()
    json_codec.cache_clear()


@pytest.mark.parametrize(
    "content_type", ["application/xml", "application/x-pickle", "application/zip"]
)
def test_an_unknown_content_type_is_415(content_type: str) -> None:
    with pytest.raises(RequestError) as caught:
        decoded(b"x", content_type)

    assert caught.value.status == 415
    assert str(caught.value) == (
        f"content type {content_type!r} is not supported; send one of application/json,"
        " text/*, image/*, application/npy, application/safetensors,"
        " application/octet-stream"
    )


@pytest.mark.parametrize(
    ("content_type", "raw_types"),
    [
        pytest.param("application/pdf", ("application/pdf",), id="a new one"),
        pytest.param("image/png", ("image/*",), id="instead of decoding"),
        pytest.param("application/json", ("*/*",), id="everything"),
        pytest.param("", ("*/*",), id="everything, without a type"),
    ],
)
def test_an_author_can_ask_for_the_bytes(
    content_type: str, raw_types: tuple[str, ...]
) -> None:
    assert decoded(b"[1]", content_type, raw_types) == b"[1]"


def test_a_form_becomes_a_dict_of_its_fields() -> None:
    fields = {
        "image": bytearray(picture("JPEG")),
        "options": bytearray(b'{"top": 3}'),
        "note": bytearray(b"hello"),
        "blob": bytearray(b"\xff\xfe"),
    }
    headers = {
        "image": {"content-type": "image/jpeg"},
        "options": {"content-type": "application/json"},
        "note": {"content-type": ""},
        "blob": {"content-type": ""},
    }

    values = decode(fields, headers, ())

    assert values.pop("image").size == (3, 2)
    assert values == {"options": {"top": 3}, "note": "hello", "blob": b"\xff\xfe"}


def test_an_empty_form_is_refused_with_a_hint() -> None:
    with pytest.raises(RequestError) as caught:
        decode({}, {}, ())

    assert caught.value.status == 400
    assert str(caught.value) == (
        "the request is empty; send a body with its Content-Type"
    )


@pytest.mark.parametrize("name", ["body", "data"])
def test_a_lone_body_is_its_value(name: str) -> None:
    headers = {name: {"content-type": "text/plain"}}

    assert decode({name: bytearray(b"hi")}, headers, ()) == "hi"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([1, 2], id="an envelope took the body out"),
        pytest.param({"body": [1, 2]}, id="the worker decoded it"),
    ],
)
def test_what_is_decoded_already_stays(fields: Any) -> None:
    assert decode(fields, {}, ()) == [1, 2]


def test_a_header_named_body_cannot_pass_for_its_type() -> None:
    headers = {"body": "application/x-pickle"}

    assert decode({"body": bytearray(b"[1]")}, headers, ()) == [1]


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        pytest.param([1, 2], torch.tensor([1.0, 2.0]), id="numbers"),
        pytest.param([[1], [2.5]], torch.tensor([[1.0], [2.5]]), id="nested"),
        pytest.param(3, torch.tensor(3.0), id="one number"),
        pytest.param(True, torch.tensor(1.0), id="a truth value"),
        pytest.param([], torch.tensor([]), id="nothing"),
        pytest.param(
            torch.tensor([1]), torch.tensor([1]), id="a tensor keeps its dtype"
        ),
        pytest.param(np.array([1]), torch.tensor([1]), id="an array keeps its dtype"),
        pytest.param(
            np.array([1], ">i4"), torch.tensor([1], dtype=torch.int32), id="swapped"
        ),
        pytest.param(np.arange(4)[::-2], torch.tensor([3, 1]), id="backwards"),
        pytest.param(
            np.frombuffer(b"\1", dtype=np.uint8),
            torch.tensor([1], dtype=torch.uint8),
            id="read-only",
        ),
    ],
)
def test_numbers_become_tensors_of_the_models_dtype(
    sample: Any, expected: torch.Tensor
) -> None:
    tensor = to_tensors(sample, torch.float32)

    assert tensor.dtype == expected.dtype
    assert torch.equal(tensor, expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_numbers_take_any_floating_dtype(dtype: torch.dtype) -> None:
    assert to_tensors([1, 2], dtype).dtype == dtype
    assert to_tensors([[1, 2]], dtype).dtype == dtype


def test_structures_keep_their_shape_and_text_stays_text() -> None:
    sample = {"a": [1, 2], "b": ("x", [torch.tensor(1)])}

    result = to_tensors(sample, torch.float32)

    assert result["a"].tolist() == [1, 2]
    assert result["b"] == ("x", (torch.tensor(1),))


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(["1", "2"], id="text"),
        pytest.param([["1"], ["2"]], id="nested text that looks like numbers"),
        pytest.param([1, None], id="null"),
        pytest.param([[1.0], [None]], id="nested null"),
        pytest.param([[1], [2, 3]], id="ragged"),
        pytest.param([1, [2]], id="uneven"),
        pytest.param([10**400], id="too large"),
    ],
)
def test_a_list_of_something_else_is_refused(sample: list[Any]) -> None:
    with pytest.raises(CLIENT_ERRORS):
        to_tensors(sample, torch.float32)
