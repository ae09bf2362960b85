"""One bad request among eight in a real batch fails alone, and no worker restarts.

The model tells the size of the batch that each sample was in, so a test knows that
the neighbours really were neighbours.
"""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest

from torchserve.serving import LIMIT_S, Question, Server, npy

pytestmark = pytest.mark.torchserve

MOST_BYTES = 6_553_500
"""TorchServe's max_response_size, where nothing else is set."""

HANDLER = '''\
import asyncio
import sys

import torch

from base_handler import RequestError, handler_factory


class Doubled(torch.nn.Module):
    """Doubles four numbers and tells the size of the batch that they were in."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.full((4,), 2.0))

    def forward(self, x):
        doubled = x * self.scale  # other than four numbers do not fit
        if (x[:, 0] == 100).any():
            raise ZeroDivisionError("the model divides\\nby zero")
        return {"doubled": doubled, "batch": torch.full((len(x),), len(x))}


class Unspeakable(Exception):
    def __str__(self):
        raise AttributeError("no text")


def preprocess(data):
    match data:
        case str():
            raise RuntimeError(f"the author quotes {data}")
        case [90, *_]:
            raise Unspeakable
        case [91, *_]:
            raise RequestError("no status", status=[422])
        case [92, *_]:
            raise asyncio.CancelledError
        case [93, *_]:
            sys.exit("a library ends the process")
        case [101, *_]:
            raise ValueError("two lines\\r\\nin one text \\ud800")
        case [102, *_]:
            raise RequestError("try\\nagain later", status=429)
        case [103, *_]:
            raise RuntimeError("the author's mistake")
    return data


def postprocess(output):
    first = int(output["doubled"][0]) // 2
    match first:
        case 104:
            return {1, 2}
        case 105:
            return lambda: None
        case 106:
            return "x" * 6_553_501
        case 107:
            return ["y" * 10_000_000]
        case 108:
            raise ValueError("two\\nlines")
        case 109:
            return "a lone surrogate: \\ud800"
        case 110:
            answer = []
            answer.append(answer)
            return answer
        case 111:
            return "z" * 6_553_500
        case 112:
            print("read up to here", flush=True)
    return {"doubled": output["doubled"], "batch": output["batch"]}


handler = handler_factory(
    init_function=Doubled,
    preprocess_function=preprocess,
    postprocess_function=postprocess,
    example_input=[1, 2, 3, 4],
)
'''


@pytest.fixture(scope="module")
def model(server: Server) -> str:
    server.serve(
        "doubled",
        files={"handler_model.py": HANDLER, "checkpoint.pt": None},
        model={"build": {"checkpoint_file": None}},
        # Longer than any test waits, so that a batch is eight requests or none.
        config={"batchSize": 8, "maxBatchDelay": 60_000},
    )
    return "doubled"


def unsafe_array() -> bytes:
    """An .npy file that would run code when it is read without care."""
    return npy(np.array([{"a": 1}], dtype=object))


def sample(first: float) -> Question:
    return Question.json([first, 2, 3, 4])


BAD = [
    pytest.param(Question(b"[1, 2, 3,"), 400, "end of data", id="broken JSON"),
    pytest.param(Question(b"nonsense"), 400, "", id="no JSON"),
    pytest.param(Question(b"[1, 2, NaN, 4]"), 400, "", id="NaN"),
    pytest.param(Question(b"[" * 100_000), 400, "", id="deep JSON"),
    pytest.param(Question(b"\xff\xfe"), 400, "", id="JSON not in UTF-8"),
    pytest.param(Question(b""), 400, "", id="nothing"),
    pytest.param(Question(b"", ""), 400, "", id="nothing of no type"),
    pytest.param(
        Question.json([1, 2, 3]),
        400,
        "(found float32[3], expected float32[4])",
        id="wrong shape",
    ),
    pytest.param(Question.json([[1, 2], [3]]), 400, "", id="ragged"),
    pytest.param(Question.json(["1", "2", "3", "4"]), 400, "", id="strings"),
    pytest.param(Question.json([1, None, 3, 4]), 400, "", id="null for a number"),
    pytest.param(Question.json({"x": [1, 2, 3, 4]}), 400, "", id="an object"),
    pytest.param(
        Question(b"<x/>", "application/xml"),
        415,
        "content type 'application/xml' is not supported; send one of",
        id="unsupported content type",
    ),
    pytest.param(Question(b"\xff", "text/plain"), 400, "", id="text not in UTF-8"),
    pytest.param(
        Question(b"\x89PNG\r\n", "image/png"), 400, "image", id="broken image"
    ),
    pytest.param(
        Question(unsafe_array(), "application/x-npy"), 400, "", id="npy of objects"
    ),
    pytest.param(
        Question(pickle.dumps([1, 2, 3, 4]), "application/octet-stream"),
        400,
        "found byte",
        id="a pickle",
    ),
    pytest.param(
        Question(b"\xff" * 64, "application/safetensors"), 400, "", id="no safetensors"
    ),
    pytest.param(sample(100), 500, "the model divides\nby zero", id="the model raises"),
    pytest.param(sample(101), 400, "two lines\r\nin one text", id="line break in 400"),
    pytest.param(sample(102), 429, "try\nagain later", id="a status of the author's"),
    pytest.param(sample(103), 500, "the author's mistake", id="preprocess raises"),
    pytest.param(sample(104), 500, "set cannot be encoded as JSON", id="a set"),
    pytest.param(sample(105), 500, "function cannot be encoded", id="a function"),
    pytest.param(sample(106), 500, f"more than {MOST_BYTES}", id="one byte too long"),
    pytest.param(sample(107), 500, f"more than {MOST_BYTES}", id="10 MB too long"),
    pytest.param(sample(108), 500, "two\nlines", id="line break in 500"),
    pytest.param(sample(109), 500, "surrogate", id="text that is no UTF-8"),
    pytest.param(sample(110), 500, "", id="an answer inside itself"),
    pytest.param(Question.json("a word"), 500, "quotes a word", id="quoting"),
    pytest.param(sample(90), 500, "", id="an error without a text"),
    pytest.param(sample(91), 500, "", id="a status that is a list"),
    pytest.param(sample(92), 500, "", id="a cancelled task"),
    pytest.param(sample(93), 500, "", id="sys.exit"),
]


@pytest.mark.parametrize(("bad", "status", "message"), BAD)
def test_one_bad_request_of_eight_fails_alone(
    server: Server, model: str, bad: Question, status: int, message: str
) -> None:
    server.await_ready(model)
    pids = server.pids(model)
    questions = [sample(number) for number in range(7)]

    replies = server.ask_together(model, [*questions[:3], bad, *questions[3:]])

    refused = replies.pop(3)
    assert [reply.status for reply in replies] == [200] * 7
    assert [reply.json["doubled"] for reply in replies] == [
        [2 * number, 4, 6, 8] for number in range(7)
    ]
    assert (refused.status, refused.content_type) == (status, "application/json")
    assert refused.json.keys() == {"code", "type", "message"}
    assert refused.json["code"] == status
    assert refused.json["message"]
    assert message in refused.json["message"]
    assert server.pids(model) == pids, "the worker was restarted"


def test_neighbours_share_the_models_batch(server: Server, model: str) -> None:
    questions = [*map(sample, range(7)), Question(b"broken")]

    replies = server.ask_together(model, questions)

    assert [reply.json.get("batch") for reply in replies] == [7] * 7 + [None]


def test_bad_requests_of_every_kind_in_one_batch(server: Server, model: str) -> None:
    pids = server.pids(model)
    chosen = ["broken JSON", "wrong shape", "the model raises", "a set"]
    chosen += ["10 MB too long", "line break in 400", "unsupported content type"]
    bad = [case for case in BAD if case.id in chosen]

    replies = server.ask_together(model, [sample(5), *(case.values[0] for case in bad)])

    assert replies[0].json["doubled"] == [10, 4, 6, 8]
    assert [reply.status for reply in replies[1:]] == [case.values[1] for case in bad]
    assert server.pids(model) == pids


def test_answers_up_to_torchserves_limit_are_sent(server: Server, model: str) -> None:
    pids = server.pids(model)

    replies = server.ask_together(model, [*map(sample, range(6)), *[sample(111)] * 2])

    assert [reply.status for reply in replies] == [200] * 8
    assert [len(reply.body) for reply in replies[6:]] == [MOST_BYTES] * 2
    assert server.pids(model) == pids


def test_what_clients_send_is_not_logged(server: Server, model: str) -> None:
    secrets = ["c0ffee-in-broken-json", "c0ffee-in-a-string", "c0ffee-in-bytes"]
    refused = [
        Question(f'["{secrets[0]}"'.encode()),
        Question.json([secrets[1]]),
        Question(secrets[2].encode(), "application/octet-stream"),
    ]

    server.ask_together(model, [*refused, *(sample(number) for number in range(5))])

    logs = "".join(path.read_text() for path in server.logs.iterdir())
    assert [secret for secret in secrets if secret in logs] == []


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("[PID]4242", id="a process"),
        pytest.param(
            "[METRICS]HandlerTime.ms:777|#ModelName:no-such-model,Level:Model"
            "|#hostname:h,1700000000",
            id="a metric",
        ),
    ],
)
def test_no_client_speaks_to_torchserve_through_the_log(
    server: Server, model: str, line: str
) -> None:
    """TorchServe takes some lines that a worker prints for facts about it."""
    server.await_ready(model)
    pids = server.pids(model)
    quoted = Question.json(f"this:\n{line}")

    server.ask_together(model, [quoted, *map(sample, range(7))])

    read_up_to_here(server, model)
    assert server.pids(model) == pids
    assert "no-such-model" not in server.log("model_metrics.log")


def read_up_to_here(server: Server, model: str) -> None:
    """Wait until TorchServe has read what the worker has printed."""
    mark = "read up to here"
    before = server.log().count(mark)
    server.ask_together(model, [sample(112), *map(sample, range(7))])
    deadline = time.monotonic() + LIMIT_S
    while server.log().count(mark) == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
