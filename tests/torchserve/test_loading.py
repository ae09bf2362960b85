"""Models that load, of each kind of checkpoint, and models that say why they do not."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import safetensors.torch
import torch

from torchserve.serving import Reply, Server, saved

pytestmark = pytest.mark.torchserve

LINEAR = """\
import torch

from base_handler import handler_factory


def init_function():
    return torch.nn.Sequential(torch.nn.Linear(2, 3))


handler = handler_factory(init_function=init_function)
"""

WEIGHT = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
BIAS = torch.tensor([0.5, 0.25, 0.125])
STATE = {"0.weight": WEIGHT, "0.bias": BIAS}
SAMPLE, ANSWER = [10, 20], [50.5, 110.25, 170.125]
"""What is sent to every model here, and what they all answer."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What a model is made of, beside what all have."""

    name: str
    handler: str = LINEAR
    checkpoint: Callable[[], bytes] | None = None
    checkpoint_file: str = "checkpoint.pt"
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    """Why it cannot be loaded, if it cannot."""

    def __str__(self) -> str:
        return self.name.replace("_", " ")

    def build(self, server: Server) -> str:
        files: dict[str, Any] = {
            "checkpoint.pt": None,
            "handler_model.py": self.handler,
        }
        if self.checkpoint is not None:
            files[self.checkpoint_file] = self.checkpoint()
        named = None if self.checkpoint is None else self.checkpoint_file
        return server.build(
            self.name,
            # TorchServe loads both; a directory is quicker.
            unpacked=bool(self.reason),
            validated=not self.reason,
            files={**files, **self.files},
            model={
                "build": {
                    "checkpoint_file": named,
                    "extra_files": list(self.files) or None,
                }
            },
            config=self.config,
        )


def handler_of(*lines: str, imports: str = "import torch") -> str:
    """Give an author's file with these lines in its init_function."""
    body = "\n    ".join(lines)
    return (
        f"{imports}\nfrom base_handler import handler_factory\n\n\n"
        f"def init_function():\n    {body}\n\n\n"
        "handler = handler_factory(init_function=init_function)\n"
    )


def state(**changes: Any) -> bytes:
    """Give a checkpoint with changes of `weight` and `bias`."""
    changed = {**STATE, **{f"0.{name}": value for name, value in changes.items()}}
    return saved(torch.save, changed)


def old_state() -> bytes:
    """Give a checkpoint as torch wrote it before 1.6."""
    save = partial(torch.save, _use_new_zipfile_serialization=False)
    return saved(save, STATE)


def rows() -> bytes:
    """Give the same weights without PyTorch: each row with its bias."""
    pairs = zip(WEIGHT.tolist(), BIAS.tolist(), strict=True)
    return json.dumps([[*row, bias] for row, bias in pairs]).encode()


class Scripted(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = torch.nn.Parameter(WEIGHT), torch.nn.Parameter(BIAS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T + self.bias


def scripted() -> bytes:
    with warnings.catch_warnings():  # torch.jit is deprecated, its files are around
        warnings.simplefilter("ignore", DeprecationWarning)
        traced: Any = torch.jit.trace(Scripted(), torch.zeros(1, 2))
        return saved(torch.jit.save, traced)


class Harm:
    """Would run a command where it is unpickled."""

    def __reduce__(self) -> Any:
        return exec, ("open('harm', 'w').close()",)


LOADED = [
    Model(
        name="torchscript",
        checkpoint=scripted,
        config={"handler": {"checkpoint_format": "torchscript"}},
    ),
    Model(name="state_dict", checkpoint=state),
    Model(
        name="old_state_dict",
        checkpoint=old_state,
        checkpoint_file="checkpoint.pth",
    ),
    Model(
        name="safetensors",
        checkpoint=partial(safetensors.torch.save, STATE),
        checkpoint_file="model.safetensors",
    ),
    Model(
        name="weights_in_code",
        handler=handler_of(
            "layer = torch.nn.Linear(2, 3)",
            f"layer.weight.data = torch.tensor({WEIGHT.tolist()})",
            f"layer.bias.data = torch.tensor({BIAS.tolist()})",
            "return layer",
        ),
    ),
    Model(
        name="no_pytorch",
        handler="""\
import json
from base_handler import handler_factory

def init_function(checkpoint_path, offset):
    with open(checkpoint_path) as file:
        rows = json.load(file)
    def model(batch):
        return [
            [sum(a * b for a, b in zip(row[:-1], x)) + row[-1] + offset for row in rows]
            for x in batch
        ]
    return model

handler = handler_factory(init_function=init_function, offset=0)
""",
        checkpoint=rows,
        checkpoint_file="rows.json",
    ),
]

REFUSED = [
    Model(
        name="names",
        checkpoint=partial(saved, torch.save, {"0.wieght": WEIGHT, "0.bias": BIAS}),
        reason="checkpoint.pt does not fit the model: missing 0.weight (nearest:"
        " 0.wieght); unexpected 0.wieght (nearest: 0.weight)",
    ),
    Model(
        name="shape_and_dtype",
        checkpoint=partial(state, weight=WEIGHT.T.contiguous(), bias=BIAS.int()),
        reason="checkpoint.pt does not fit the model: shape of 0.weight: expected"
        " [3, 2], found [2, 3]; dtype of 0.bias: expected float32, found int32",
    ),
    Model(
        name="pickled_module",
        checkpoint=partial(saved, torch.save, [Harm()]),
        reason="checkpoint.pt holds more than tensors, which could run code when read;"
        " save it with torch.save(model.state_dict(), path)",
    ),
    Model(
        name="import_error",
        handler=handler_of("pass", imports="import no_such_module.deep"),
        reason="handler_model.py cannot be imported: ModuleNotFoundError: No module"
        " named 'no_such_module'; add what is missing to requirements.txt or"
        " system.extraFiles, or, if install_packages installs it, import it inside"
        " init_function",
    ),
    Model(
        name="no_gpu",
        checkpoint=state,
        config={"deviceType": "gpu"},
        reason="model-config.yaml has deviceType gpu, and TorchServe found no GPU on"
        " this host; run it on one, or use deviceType cpu",
    ),
    Model(
        name="init_function",
        handler=handler_of("raise OSError('no such\\nluck')"),
        reason="init_function failed: OSError: no such luck",
    ),
    Model(
        name="undeclared_torchscript",
        checkpoint=scripted,
        reason="checkpoint.pt is a TorchScript archive; say so in model-config.yaml"
        " (handler: checkpoint_format: torchscript) or save a state_dict",
    ),
    Model(
        name="warm_up",
        checkpoint=state,
        config={"handler": {"warmup": {"json": [1, 2, 3]}}},
        reason="the warm-up in a batch of 1 failed: RuntimeError: mat1 and mat2 shapes"
        " cannot be multiplied (1x3 and 2x3)",
    ),
]


@pytest.fixture(scope="module")
def registered(server: Server) -> dict[str, Future[Reply]]:
    """All the models, being registered two at a time; a test waits for its own."""
    entries = {model.name: model.build(server) for model in (*LOADED, *REFUSED)}
    # Loading takes a process of seconds each.
    threads = ThreadPoolExecutor(2)
    replies = {
        name: threads.submit(server.register, entry) for name, entry in entries.items()
    }
    threads.shutdown(wait=False)
    return replies


@pytest.mark.parametrize("model", LOADED, ids=str)
def test_a_model_loads_from_each_kind_of_checkpoint(
    server: Server, registered: dict[str, Future[Reply]], model: Model
) -> None:
    reply = registered[model.name].result()

    assert reply.status == 200, reply.body
    assert server.ask(model.name, SAMPLE).json == pytest.approx(ANSWER)


@pytest.mark.parametrize("model", REFUSED, ids=str)
def test_a_model_that_cannot_be_loaded_says_why_in_one_line(
    server: Server, registered: dict[str, Future[Reply]], model: Model
) -> None:
    reply = registered[model.name].result()

    assert reply.status == 500
    assert "Failed to start workers" in reply.json["message"]
    assert set(server.await_refusals(f"{model.name}_1.0.0")) == {model.reason}
    assert not (server.model_store / f"{model.name}-1.0.0" / "harm").exists()


def test_the_server_answers_for_others_after_all_that(
    server: Server, registered: dict[str, Future[Reply]]
) -> None:
    for reply in registered.values():
        reply.result()

    replies = [server.ask(model.name, SAMPLE) for model in LOADED]

    assert [reply.json for reply in replies] == [pytest.approx(ANSWER)] * len(LOADED)
