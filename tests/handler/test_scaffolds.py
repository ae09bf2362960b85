"""What `ms init` makes: it validates, loads strictly and answers in the handler."""

import json
import os
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import safetensors.torch
import torch
import yaml
from torch import nn

from model_servers.cli.main import main
from model_servers.core.golden import GoldenCase

CHECKOUT = Path(__file__).parents[2]
SEED = 0


class Residual(nn.Module):
    """Convolutions that do not simply follow one another."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
        self.conv1 = nn.Conv2d(8, 16, 3, stride=2)
        self.downsample = nn.Sequential(nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16))
        self.fc = nn.Linear(16, 5)


class Tokens(nn.Module):
    """Raw parameters, an embedding and blocks of one structure."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("positions", torch.arange(8))
        self.tok_embeddings = nn.Embedding(11, 8)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(8, 2, 16) for _ in range(3)
        )
        self.rnn = nn.LSTM(8, 4)


class OddNames(nn.Module):
    """Names that are no attribute names, or that every module has already."""

    def __init__(self):
        super().__init__()
        for name in ("conv-1", "class", "type", "__private", "07", "Ünit"):
            self._modules[name] = nn.Linear(4, 4)
        self.far = nn.Sequential()
        self.far._modules["900"] = nn.Linear(4, 4)


def separable():
    return nn.Sequential(
        nn.BatchNorm2d(2),
        nn.Conv2d(2, 6, 3, groups=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 4, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def small_cnn():
    features = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, padding=1),
        nn.BatchNorm2d(8, affine=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
    )
    return nn.Sequential(
        OrderedDict(features=features, flat=nn.Flatten(), head=nn.Linear(32, 10))
    )


def mlp(*, dtype=torch.float32):
    return nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 3)
    ).to(dtype)


CHAINS = {
    "an MLP": mlp,
    "a CNN with batch norms": small_cnn,
    "a separable CNN": separable,
    "one layer": lambda: nn.Linear(4, 2),
    "a 1-D CNN": lambda: nn.Sequential(
        nn.Conv1d(2, 4, 5, padding=2), nn.BatchNorm1d(4)
    ),
    "a wide input": lambda: nn.Linear(3000, 2),
}
"""Networks whose forward pass shows in their sizes."""

OTHERS = {
    "a residual network": Residual,
    "a transformer": Tokens,
    "odd names": OddNames,
    "an embedding": lambda: nn.Sequential(OrderedDict(emb=nn.Embedding(5, 3))),
    "a transposed convolution": lambda: nn.ConvTranspose3d(2, 3, (1, 2, 3)),
    "only a parameter": lambda: nn.ParameterList([torch.ones(2, 3)]),
    "a complex parameter": lambda: nn.ParameterList([torch.ones(2) * 1j]),
}
"""Networks of which only the first layer can be applied."""


@pytest.fixture
def init(tmp_path, capsys, monkeypatch):
    """Run `ms init NAME` in a checkout; give the model's directory and the output."""
    (tmp_path / "registry").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path)

    def run(name, *arguments):
        status = main(["init", name, "--maintainer", "@me", *map(str, arguments)])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return tmp_path / "registry" / name, captured.out, captured.err

    return run


@pytest.fixture
def serve(models):
    """Load a model's directory as an archive's, and give its answer to a case."""

    def run(directory):
        spec = yaml.safe_load((directory / "model.yaml").read_text())
        config = yaml.safe_load((directory / "model-config.yaml").read_text())
        served = type(models)(directory).load(
            checkpoint=spec["build"].get("checkpoint_file"), config=config
        )
        case = yaml.safe_load((directory / "golden/first.yaml").read_text())
        request = GoldenCase.from_mapping(
            "first",
            {"expect": {"json": None}, **case},
            read=lambda name: (directory / "golden" / name).read_bytes(),
        ).request
        (reply,) = served.ask((request.body, request.content_type))
        assert reply.status == 200, reply.body
        return served, json.loads(request.body), reply

    return run


def record(directory, answer):
    """Put the answer in, as `ms golden --update` does."""
    case = directory / "golden/first.yaml"
    case.write_text(f"{case.read_text()}expect: {json.dumps({'json': answer})}\n")


def traced(network, path):
    torch.jit.save(torch.jit.trace(network, torch.ones(1, 4)), path)
    return path


def saved(network, path):
    torch.save(network.state_dict(), path)
    return path


def with_numbers(network):
    """Give a network other weights and statistics than a new one has."""
    torch.manual_seed(SEED)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 1)
    return network.eval()


def assert_valid(capsys, directory, *flags):
    """Assert it of a model; where it is served by the test, `--static` is enough."""
    registry = ["--registry", str(directory.parent)]
    status = main(["validate", directory.name, *registry, *flags])
    assert (status, capsys.readouterr().out) == (0, "1 model: no findings\n")


def test_a_model_without_a_checkpoint_gives_the_answer_worked_out_by_hand(
    init, serve, capsys
):
    directory, _, _ = init("tiny")

    _, _, reply = serve(directory)

    document = yaml.safe_load((directory / "golden/first.yaml").read_text())
    case = GoldenCase.from_mapping("first", document, read=lambda _: b"")
    assert case.differences(reply.body, device="cpu") == []
    assert case.tolerance == {}  # exactly
    assert_valid(capsys, directory)


def test_what_the_new_model_cannot_use_is_answered_with_400(init, serve):
    served, _, _ = serve(init("tiny")[0])

    replies = served.ask_json([1, 2, 3], [1, 2, 3, "4"], {"a": 1}, [4, 3, 2, 1])

    assert [reply.status for reply in replies] == [400, 400, 400, 200]
    assert replies[0].json["message"] == "expected a JSON list of 4 numbers"


@pytest.mark.parametrize("kind", CHAINS)
def test_a_chain_of_layers_answers_as_the_network_it_was_saved_from(
    init, serve, tmp_path, kind, capsys
):
    network = with_numbers(CHAINS[kind]())
    checkpoint = saved(network, tmp_path / "mine.pt")

    directory, _, told = init("chain", "--checkpoint", checkpoint)

    assert (directory / "checkpoint.pt").read_bytes() == checkpoint.read_bytes()
    assert "note: network.py: forward is a guess" in told
    _, request, reply = serve(directory)
    with torch.inference_mode():
        expected = network(torch.tensor([request]))[0]
    torch.testing.assert_close(torch.tensor(reply.json), expected)
    record(directory, reply.json)
    assert_valid(capsys, directory, "--static")


@pytest.mark.parametrize("kind", OTHERS)
def test_a_network_that_is_no_chain_loads_and_answers_with_its_first_layer(
    init, serve, tmp_path, kind, capsys
):
    network = with_numbers(OTHERS[kind]())
    checkpoint = saved(network, tmp_path / "mine.pth")

    directory, _, _ = init("other", "--checkpoint", checkpoint)
    served, _, reply = serve(directory)

    loaded, expected = served.handler.model.state_dict(), network.state_dict()
    assert loaded.keys() == expected.keys()
    torch.testing.assert_close(dict(loaded), dict(expected), rtol=0, atol=0)
    record(directory, reply.json)
    assert_valid(capsys, directory, "--static")


def test_who_must_write_forward_is_told_and_shown_the_layers(init, tmp_path):
    checkpoint = saved(Tokens(), tmp_path / "mine.pt")

    directory, out, err = init("words", "--checkpoint", checkpoint)

    source = (directory / "network.py").read_text()
    assert "forward applies the first layer only; write the rest" in err
    assert "# Write this: how the layers are connected does not stand in" in source
    assert "    blocks.2.self_attn.in_proj_weight: parameter [24, 8]\n" in source
    assert "    tok_embeddings: Embedding(11, 8)\n" in source
    assert "self.blocks = nn.ModuleList([Block() for _ in range(3)])\n" in source
    assert "return self.tok_embeddings(x.long())" in source
    assert out.split("next:\n")[1].splitlines() == [
        "  ms golden words --update",
        "  ms validate words",
        "  ms test words",
        "  ms serve words",
    ]


def test_safetensors_are_served_in_the_order_of_their_numbers(init, serve, tmp_path):
    layers = [nn.Linear(4, 4) for _ in range(12)]
    network = with_numbers(
        nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))
    )
    safetensors.torch.save_file(network.state_dict(), tmp_path / "mine.safetensors")

    directory, _, _ = init("safe", "--checkpoint", tmp_path / "mine.safetensors")

    _, request, reply = serve(directory)
    with torch.inference_mode():
        expected = network(torch.tensor(request))
    torch.testing.assert_close(torch.tensor(reply.json), expected)


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str
)
def test_a_network_computes_in_the_dtype_of_its_checkpoint(
    init, serve, tmp_path, dtype, capsys
):
    checkpoint = saved(with_numbers(mlp(dtype=dtype)), tmp_path / "mine.pt")

    directory, _, _ = init("halves", "--checkpoint", checkpoint)
    served, _, reply = serve(directory)

    assert {p.dtype for p in served.handler.model.parameters()} == {dtype}
    text = str(dtype).removeprefix("torch.")
    assert f"The checkpoint's dtypes: {text}." in (directory / "network.py").read_text()
    record(directory, reply.json)
    assert_valid(capsys, directory)


def test_batch_norms_that_count_no_batches_are_served_too(init, serve, tmp_path):
    network = with_numbers(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)))
    state = network.state_dict()
    del state["1.num_batches_tracked"]
    torch.save(state, tmp_path / "frozen.pt")

    directory, _, _ = init("frozen", "--checkpoint", tmp_path / "frozen.pt")

    _, request, reply = serve(directory)
    with torch.inference_mode():
        expected = network(torch.tensor([request]))[0]
    torch.testing.assert_close(torch.tensor(reply.json), expected)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_torchscript_file_brings_its_own_code(init, serve, tmp_path, capsys):
    network = with_numbers(mlp())
    checkpoint = traced(network, tmp_path / "mine.pt")

    directory, _, told = init("script", "--checkpoint", checkpoint)
    _, request, reply = serve(directory)

    assert not (directory / "network.py").exists()
    assert "note: golden/first.yaml: the request is a guess" in told
    with torch.inference_mode():
        expected = network(torch.tensor(request))
    torch.testing.assert_close(torch.tensor(reply.json), expected)
    record(directory, reply.json)
    assert_valid(capsys, directory)


@pytest.fixture
def checkout(tmp_path):
    """Where the linter knows everything that a contributor's checkout has."""
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    for folder in ("handler", "schemas"):
        (tmp_path / folder).symlink_to(CHECKOUT / folder)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_the_linter_finds_nothing_in_what_was_made(init, tmp_path, checkout):
    init("tiny")
    for number, make in enumerate([*CHAINS.values(), *OTHERS.values()]):
        path = saved(make(), tmp_path / "mine.pt")
        init(f"m{number}", "--checkpoint", path)
    long_name = nn.ModuleDict({"layer_" * 16: nn.Linear(2, 2)})
    init("long", "--checkpoint", saved(long_name, tmp_path / "long.pt"))
    init("script", "--checkpoint", traced(mlp(), tmp_path / "script.pt"))

    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "registry"],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
