"""From a checkpoint file to a model with its weights, or one line that says why not."""

import json
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from base_handler import handler_factory
from model_servers_handler.formats import safetensors_views


class Net(torch.nn.Module):
    def __init__(self, hidden: int = 3) -> None:
        super().__init__()
        self.first = torch.nn.Linear(2, hidden)
        self.norm = torch.nn.BatchNorm1d(hidden)
        self.last = torch.nn.Linear(hidden, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x)))


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(4, 2)
        self.out = torch.nn.Linear(2, 4, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(x)


def save(state: Any, path: Path) -> None:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=path.suffix != ".old")


@pytest.mark.parametrize("name", ["c.pt", "c.pth", "c.old", "c.safetensors"])
def test_a_model_answers_with_its_checkpoints_weights(models: Any, name: str) -> None:
    trained = Net().eval()
    save(trained.state_dict(), models.directory / name)

    served = models.load(handler_factory(Net), checkpoint=name)

    assert not served.handler.model.training
    expected = trained(torch.tensor([[1.0, 2.0]]))[0].tolist()
    assert served.ask_json([1, 2])[0].json == pytest.approx(expected)


@pytest.mark.parametrize("name", ["c.pt", "c.safetensors"])
def test_weights_are_mapped_not_copied(models: Any, name: str) -> None:
    path = models.directory / name
    save(torch.nn.Linear(100, 100).state_dict(), path)

    served = models.load(
        handler_factory(torch.nn.Linear, in_features=100, out_features=100),
        checkpoint=name,
    )

    assert str(path) in Path("/proc/self/maps").read_text()
    assert served.ask_json([0] * 100)[0].status == 200


@pytest.mark.parametrize("name", ["c.pt", "c.safetensors"])
def test_tied_weights_stay_one_tensor(models: Any, name: str) -> None:
    weight = torch.randn(4, 2)
    state = {"embed.weight": weight, "out.weight": weight}
    if name.endswith(".safetensors"):
        del state["out.weight"]  # as safetensors.torch.save_model leaves it out
    save(state, models.directory / name)

    model = models.load(handler_factory(Tied), checkpoint=name).handler.model

    assert model.out.weight is model.embed.weight
    assert torch.equal(model.out.weight, weight)
    assert len(list(model.parameters())) == 1


def test_a_model_keeps_its_dtype(models: Any) -> None:
    state = {"weight": torch.ones(1, 2).half(), "bias": torch.ones(1).double()}
    save(state, models.directory / "c.pt")

    served = models.load(
        handler_factory(torch.nn.Linear, in_features=2, out_features=1),
        checkpoint="c.pt",
    )

    assert {p.dtype for p in served.handler.model.parameters()} == {torch.float32}
    assert served.ask_json([1, 2])[0].json == [4]


def test_an_old_file_without_a_batch_norms_counter_still_loads(models: Any) -> None:
    state = Net().state_dict()
    del state["norm.num_batches_tracked"]
    state = OrderedDict(
        state
    )  # loses the versions, as files of torch before 0.4.1 have none
    save(state, models.directory / "c.pt")

    assert (
        models.load(handler_factory(Net), checkpoint="c.pt").ask_json([1, 2])[0].status
        == 200
    )


def test_a_newer_file_without_a_batch_norms_counter_is_refused(models: Any) -> None:
    state = Net().state_dict()
    del state["norm.num_batches_tracked"]
    save(state, models.directory / "c.pt")

    assert models.refusal(handler_factory(Net), checkpoint="c.pt") == (
        "c.pt does not fit the model: missing norm.num_batches_tracked"
    )


def test_random_initialisation_sleeps_only_while_a_checkpoint_follows(
    models: Any,
) -> None:
    drawn: list[bool] = []

    def init_function() -> torch.nn.Module:
        before = torch.get_rng_state()
        model = torch.nn.Linear(2, 1)
        drawn.append(not torch.equal(before, torch.get_rng_state()))
        return model

    save(torch.nn.Linear(2, 1).state_dict(), models.directory / "c.pt")
    models.load(handler_factory(init_function), checkpoint="c.pt")
    models.load(handler_factory(init_function))

    assert drawn == [False, True]


def test_initialisers_are_awake_again_after_a_failure(models: Any) -> None:
    awake = torch.nn.init.normal_
    save({}, models.directory / "c.pt")

    models.refusal(handler_factory(lambda: 1 / 0), checkpoint="c.pt")

    assert torch.nn.init.normal_ is awake


def test_everything_wrong_with_a_checkpoint_is_said_at_once(models: Any) -> None:
    state = Net().state_dict()
    state["frist.weight"] = state.pop("first.weight")
    state["first.bias"] = torch.zeros(5)
    state["norm.num_batches_tracked"] = torch.tensor(0.5)
    del state["norm.running_var"]
    save(state, models.directory / "c.pt")

    assert models.refusal(handler_factory(Net), checkpoint="c.pt") == (
        "c.pt does not fit the model: missing first.weight (nearest: frist.weight);"
        " missing norm.running_var; unexpected frist.weight (nearest: first.weight);"
        " shape of first.bias: expected [3], found [5];"
        " dtype of norm.num_batches_tracked: expected int64, found float32"
    )


def test_a_shape_that_differs_is_named(models: Any) -> None:
    save(Net(hidden=4).state_dict(), models.directory / "c.safetensors")

    reason = models.refusal(handler_factory(Net, hidden=3), checkpoint="c.safetensors")

    assert "shape of last.weight: expected [1, 3], found [1, 4]" in reason


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        pytest.param(
            {"epoch": 3, "state_dict": Net().state_dict()},
            "; it is a dict with state_dict, save only the state_dict",
            id="a trainer's",
        ),
        pytest.param(
            {f"module.{key}": value for key, value in Net().state_dict().items()},
            "; save it without the prefix 'module.' of every name",
            id="of DataParallel",
        ),
    ],
)
def test_a_common_mistake_is_named(models: Any, state: Any, hint: str) -> None:
    save(state, models.directory / "c.pt")

    assert models.refusal(handler_factory(Net), checkpoint="c.pt").endswith(hint)


def test_a_pickled_module_is_refused_and_not_run(models: Any, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save(Trap(), models.directory / "c.pt")

    reason = models.refusal(handler_factory(Net), checkpoint="c.pt")

    assert reason == (
        "c.pt holds more than tensors, which could run code when read; save it with"
        " torch.save(model.state_dict(), path)"
    )
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "c.pt cannot be read as a checkpoint: EOFError", id="empty"),
        pytest.param(b"PK\3\4junk", "c.pt cannot be read as a checkpoint", id="broken"),
        pytest.param(
            b"\xff\0\0\0\0\0\0\0{}",
            "c.pt is no safetensors file: ValueError",
            id="cut off",
        ),
        pytest.param(
            (2).to_bytes(8, "little") + b"{}" + b"\0" * 8,
            "c.pt does not fit the model: missing",
            id="an empty safetensors",
        ),
        pytest.param(
            pickle.dumps([1]), "c.pt cannot be read as a checkpoint", id="some pickle"
        ),
    ],
)
def test_a_file_that_is_no_checkpoint_is_refused(
    models: Any, content: bytes, reason: str
) -> None:
    models.write({"c.pt": content})

    assert models.refusal(handler_factory(Net), checkpoint="c.pt").startswith(reason)


def test_a_tensor_is_no_state_dict(models: Any) -> None:
    save(torch.zeros(1), models.directory / "c.pt")

    assert models.refusal(handler_factory(Net), checkpoint="c.pt") == (
        "c.pt holds Tensor, not a state_dict; save it with"
        " torch.save(model.state_dict(), path)"
    )


def test_a_missing_checkpoint_is_named(models: Any) -> None:
    assert models.refusal(handler_factory(Net), checkpoint="c.pt") == (
        "serializedFile is c.pt, which is not in the archive"
    )


def script(path: Path) -> None:
    class Double(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    torch.jit.save(torch.jit.trace(Double(), torch.ones(1, 2)), path)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_torchscript_model_needs_no_init_function(models: Any) -> None:
    script(models.directory / "c.pt")

    served = models.load(
        handler_factory(None),  # type: ignore[arg-type]  # nothing to make
        checkpoint="c.pt",
        config={"handler": {"checkpoint_format": "torchscript"}},
    )

    assert [reply.json for reply in served.ask_json([1, 2], [3, 4])] == [[2, 4], [6, 8]]


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_torchscript_file_must_be_declared(models: Any) -> None:
    script(models.directory / "c.pt")

    assert models.refusal(handler_factory(Net), checkpoint="c.pt") == (
        "c.pt is a TorchScript archive; say so in model-config.yaml (handler:"
        " checkpoint_format: torchscript) or save a state_dict"
    )


def test_an_init_function_can_ask_for_the_checkpoints_path(models: Any) -> None:
    models.write({"table.json": json.dumps({"cat": 1})})

    def init_function(checkpoint_path: str, default: int) -> Any:
        table = json.loads(Path(checkpoint_path).read_text())
        return lambda words: [table.get(word, default) for word in words]

    served = models.load(
        handler_factory(init_function, default=0), checkpoint="table.json"
    )

    assert [reply.json for reply in served.ask_json("cat", "dog")] == [1, 0]


def test_the_path_is_none_if_there_is_no_checkpoint(models: Any) -> None:
    served = models.load(
        handler_factory(lambda checkpoint_path: lambda batch: [str(checkpoint_path)])
    )

    assert served.ask_json(1)[0].body == b"None"


def test_a_checkpoint_that_nobody_reads_is_mentioned(
    models: Any, caplog: pytest.LogCaptureFixture
) -> None:
    models.write({"c.pt": b"anything"})

    models.load(handler_factory(lambda: lambda batch: batch), checkpoint="c.pt")

    assert (
        "c.pt is not used: init_function made no torch.nn.Module and has no parameter"
        " checkpoint_path" in caplog.text
    )


def test_a_model_must_be_callable(models: Any) -> None:
    assert models.refusal(handler_factory(lambda: {"not": "a model"})) == (
        "init_function returned dict; return a torch.nn.Module or a function that takes"
        " a batch"
    )


def test_a_class_is_not_taken_for_a_model(models: Any) -> None:
    assert models.refusal(handler_factory(lambda: torch.nn.ReLU)) == (
        "init_function returned the class ReLU; return ReLU(...), a model of it"
    )


def test_non_persistent_buffers_keep_what_init_made(models: Any) -> None:
    class WithBuffer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.register_buffer("two", torch.full((1,), 2.0), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight * self.two

    save({"weight": torch.tensor([3.0])}, models.directory / "c.pt")

    served = models.load(handler_factory(WithBuffer), checkpoint="c.pt")

    assert served.ask_json([1])[0].json == [6]


def test_unaligned_safetensors_are_read_too() -> None:
    text = b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    assert len(text) % 4
    body = len(text).to_bytes(8, "little") + text + b"\0\0\x80\x3f"

    tensor = safetensors_views(bytearray(body))["x"]

    assert tensor.tolist() == [1.0]
    assert tensor.data_ptr() % 4 == 0
