"""A thousand mixed requests at once, every tenth a bad one: each gets its answer."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors.numpy
import torch

from torchserve.serving import Question, Reply, Server, npy, saved

pytestmark = pytest.mark.torchserve

REQUESTS = 1000
CLIENTS = 16
JSON = "application/json"

HANDLER = """\
import torch
from torch import nn

from base_handler import handler_factory


class Sum(nn.Module):
    '''Adds up rows, of which a sample may have any number.'''

    def __init__(self):
        super().__init__()
        self.rows = nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 5))

    def forward(self, x):
        if x.isnan().any():
            raise ArithmeticError("not a number")
        total = self.rows(x).sum(dim=1)
        return {"total": total, "batch": torch.full((len(x),), len(x))}


def preprocess(data):
    if isinstance(data, dict):
        return data["rows"]
    return data


handler = handler_factory(init_function=Sum, preprocess_function=preprocess)
"""


@dataclass(frozen=True)
class Case:
    """A request and what comes back for it when it is alone."""

    question: Question
    status: int
    total: tuple[float, ...] = ()

    def is_answered_by(self, reply: Reply) -> bool:
        if reply.status != self.status:
            return False
        return self.status != 200 or reply.json["total"] == pytest.approx(
            self.total, rel=1e-4, abs=1e-4
        )


def as_json(rows: np.ndarray) -> Question:
    return Question.json(rows.tolist())


def as_object(rows: np.ndarray) -> Question:
    return Question.json({"rows": rows.tolist()})


def as_npy(rows: np.ndarray) -> Question:
    return Question(npy(rows), "application/x-npy")


def as_safetensors(rows: np.ndarray) -> Question:
    return Question(safetensors.numpy.save({"x": rows}), "application/safetensors")


def as_form(rows: np.ndarray) -> Question:
    part = b'--limit\r\nContent-Disposition: form-data; name="rows"'
    head = part + b'; filename="rows"\r\nContent-Type: application/json\r\n\r\n'
    body = head + json.dumps(rows.tolist()).encode() + b"\r\n--limit--\r\n"
    return Question(body, "multipart/form-data; boundary=limit")


FORMS: list[Callable[[np.ndarray], Question]] = [
    as_json,
    as_object,
    as_npy,
    as_safetensors,
    as_form,
]

BAD = [
    Case(Question(b"[[1, 2,"), 400),
    Case(Question.json([[1, 2, 3, 4, 5]]), 400),
    Case(Question.json([[1, 2, 3, 4, 5, 6], [1]]), 400),
    Case(Question.json([["1", "2", "3", "4", "5", "6"]]), 400),
    Case(Question.json({"columns": []}), 400),
    Case(Question(b"\x93NUMPY", "application/x-npy"), 400),
    Case(Question(b"<rows/>", "application/xml"), 415),
    Case(as_npy(np.full((1, 6), np.nan, np.float32)), 500),
]


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    shapes = {"0.weight": (64, 6), "0.bias": (64,), "2.weight": (5, 64), "2.bias": (5,)}
    return {f"rows.{name}": torch.randn(shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def model(server: Server, weights: dict[str, torch.Tensor]) -> str:
    server.serve(
        "sum",
        files={
            "handler_model.py": HANDLER,
            "checkpoint.pt": saved(torch.save, weights),
        },
        config={"batchSize": 8, "maxBatchDelay": 10, "jobQueueSize": 2 * REQUESTS},
    )
    return "sum"


def total_of(rows: np.ndarray, weights: dict[str, torch.Tensor]) -> list[float]:
    """Do what the model does, without it."""
    w = {
        name.removeprefix("rows."): tensor.double() for name, tensor in weights.items()
    }
    hidden = torch.tanh(torch.from_numpy(rows).double() @ w["0.weight"].T + w["0.bias"])
    total: list[float] = (hidden @ w["2.weight"].T + w["2.bias"]).sum(dim=0).tolist()
    return total


@pytest.fixture(scope="module")
def good(server: Server, model: str, weights: dict[str, torch.Tensor]) -> list[Case]:
    """Samples of three shapes in five forms, with their answers when alone."""
    numbers = np.random.default_rng(7)
    cases = []
    for i in range(40):
        rows = numbers.standard_normal((1 + i % 3, 6), dtype=np.float32)
        question = FORMS[i % len(FORMS)](rows)
        alone = server.ask(model, question)
        assert alone.status == 200, alone.body
        assert alone.json["batch"] == 1
        assert alone.json["total"] == pytest.approx(total_of(rows, weights), abs=1e-3)
        cases.append(Case(question, 200, tuple(alone.json["total"])))
    return cases


def test_each_of_a_thousand_mixed_requests_gets_its_own_answer(
    server: Server, model: str, good: list[Case]
) -> None:
    pids = server.pids(model)
    cases = [
        BAD[i // 10 % len(BAD)] if i % 10 == 0 else good[i % len(good)]
        for i in range(REQUESTS)
    ]
    random.Random(11).shuffle(cases)

    with ThreadPoolExecutor(CLIENTS) as clients:
        replies = list(
            clients.map(lambda case: server.ask(model, case.question), cases)
        )

    wrong = [
        (case, reply)
        for case, reply in zip(cases, replies, strict=True)
        if not case.is_answered_by(reply)
    ]
    assert wrong == []
    assert Counter(reply.status for reply in replies)[200] == REQUESTS * 9 // 10
    batches = Counter(r.json["batch"] for r in replies if r.status == 200)
    assert max(batches) > 1, "they were never in one batch"
    assert server.pids(model) == pids, "the worker was restarted"
    assert server.states(model) == ["READY"]
    assert all("message" in r.json for r in replies if r.status != 200)
