"""What a served model tells: about itself, about its times, and in which form."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

from torchserve.serving import LIMIT_S, Question, Server, Start, saved

pytestmark = pytest.mark.torchserve

HANDLER = """\
import dataclasses

import torch

from base_handler import handler_factory


@dataclasses.dataclass
class Box:
    left: float
    label: str


def postprocess(output):
    match int(output[0]):
        case 7:
            return "seven"
        case 8:
            return b"eight"
        case 9:
            return {"box": Box(9.5, "nine"), "parts": (output, None, True)}
        case 10:
            return [float("nan"), float("inf")]
        case 11:
            return {"first": output, "second": output.to(torch.bfloat16)}
        case 12:
            return [[1], [2, 3]]
    return output


handler = handler_factory(
    init_function=lambda: torch.nn.Linear(2, 2, bias=False),
    postprocess_function=postprocess,
    example_input=[1, 2],
)
"""

STAGES = ["PreprocessTime", "InferenceTime", "PostprocessTime"]


@pytest.fixture(scope="module")
def server(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A TorchServe with the metrics that TorchServe has, and those of our stages."""
    config = tmp_path_factory.mktemp("metrics") / "metrics.yaml"
    config.write_text(yaml.safe_dump(metrics_of(STAGES)))
    return start(metrics_mode="prometheus", metrics_config=config)


def metrics_of(stages: list[str]) -> object:
    named = [
        {"name": name, "unit": "ms", "dimensions": ["ModelName", "Level"]}
        for name in ("HandlerTime", "PredictionTime", *stages)
    ]
    return {
        "dimensions": ["ModelName", "Level", "Hostname"],
        "ts_metrics": {
            "counter": [
                {
                    "name": "Requests2XX",
                    "unit": "Count",
                    "dimensions": ["Level", "Hostname"],
                }
            ]
        },
        "model_metrics": {"gauge": named},
    }


@pytest.fixture(scope="module")
def model(server: Server) -> str:
    server.serve(
        "same",
        version="1.2.3",
        files={
            "handler_model.py": HANDLER,
            "checkpoint.pt": saved(torch.save, {"weight": torch.eye(2)}),
        },
        config={"handler": {"stage_metrics": True}},
    )
    return "same"


def test_describe_tells_what_is_served_and_where(server: Server, model: str) -> None:
    told = server.describe(model, customized=True)["customizedMetadata"]

    release = server.manifest(f"{model}-1.2.3.mar")["modelServers"]
    assert (told["name"], told["version"]) == (model, "1.2.3")
    assert told["inputsDigest"] == release["inputsDigest"]
    assert told["handlerDigest"] == release["handlerDigest"]
    assert told["runningHandlerDigest"] == release["handlerDigest"]
    assert told["device"] == "cpu"
    assert 0 < told["loadSeconds"] < LIMIT_S


def test_times_appear_in_torchserves_metrics(server: Server, model: str) -> None:
    assert server.ask(model, [1, 2]).status == 200

    wanted = {f'{name}{{ModelName="{model}",Level="Model",' for name in STAGES}
    wanted.add(f'HandlerTime{{ModelName="{model}",Level="Model",')
    deadline = time.monotonic() + 30  # TorchServe reads the worker's output in its time
    while missing := [
        each for each in sorted(wanted) if each not in (text := metrics(server))
    ]:
        assert time.monotonic() < deadline, f"{missing} are not in\n{text}"
        time.sleep(0.05)


def metrics(server: Server) -> str:
    return server.request("GET", f"{server.addresses.metrics}/metrics").body.decode()


@pytest.mark.parametrize(
    ("first", "content_type", "body"),
    [
        pytest.param(1, "application/json", b"[1.0,2.0]", id="a tensor"),
        pytest.param(7, "text/plain; charset=utf-8", b"seven", id="text"),
        pytest.param(8, "application/octet-stream", b"eight", id="bytes"),
        pytest.param(
            9,
            "application/json",
            b'{"box":{"left":9.5,"label":"nine"},"parts":[[9.0,2.0],null,true]}',
            id="a dataclass and a tuple",
        ),
        pytest.param(10, "application/json", b"[null,null]", id="no numbers"),
    ],
)
def test_an_answer_has_the_content_type_of_what_it_is(
    server: Server, model: str, first: float, content_type: str, body: bytes
) -> None:
    reply = server.ask(model, [first, 2])

    assert (reply.status, reply.content_type, reply.body) == (200, content_type, body)


@pytest.mark.parametrize(
    "media_type", ["application/npy", "application/x-npy", "application/x-numpy"]
)
def test_an_answer_comes_as_npy_if_the_client_accepts_it(
    server: Server, model: str, media_type: str
) -> None:
    reply = server.ask(model, [1.5, -2], Accept=media_type)

    array = np.load(io.BytesIO(reply.body), allow_pickle=False)
    assert (reply.status, reply.content_type) == (200, media_type)
    assert (array.dtype, array.tolist()) == (np.float32, [1.5, -2])


def test_an_answer_comes_as_safetensors_if_the_client_accepts_it(
    server: Server, model: str
) -> None:
    accept = "application/safetensors"

    one = server.ask(model, [1.5, -2], Accept=accept)
    two = server.ask(model, [11, -2], Accept=accept)

    assert one.content_type == two.content_type == accept
    tensors = safetensors.torch.load(one.body)
    assert {name: each.tolist() for name, each in tensors.items()} == {
        "output": [1.5, -2]
    }
    tensors = safetensors.torch.load(two.body)
    assert tensors["first"].tolist() == tensors["second"].tolist() == [11, -2]
    assert tensors["second"].dtype == torch.bfloat16


def test_what_no_array_can_hold_is_not_acceptable(server: Server, model: str) -> None:
    reply = server.ask(model, [12, 0], Accept="application/x-npy")

    assert (reply.status, reply.reason) == (406, "Not Acceptable")
    assert reply.content_type == "application/json"
    assert reply.json["message"] == "the answer is ragged; accept JSON"


def test_an_error_has_a_reason_phrase_and_json(server: Server, model: str) -> None:
    reply = server.ask(model, Question(b"", "application/xml"))

    assert (reply.status, reply.reason) == (415, "Unsupported Media Type")
    assert reply.content_type == "application/json"
    assert reply.json["code"] == 415
