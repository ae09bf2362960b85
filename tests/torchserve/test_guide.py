"""The guide's examples, word for word, in a real TorchServe.

The texts below are the guide's. Where it shows functions without the line that
makes a handler of them, the line of its last example is added.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from torchserve.serving import Question, Server, Start, saved

pytestmark = pytest.mark.torchserve

MODEL = """\
import torch

class MyNetworkBlock(torch.nn.Module):
    def __init__(self, in_dim, out_dim):
        super().__init__()
        self.lin = torch.nn.Linear(in_dim, out_dim)
    def forward(self, x):
        x = self.lin(x)
        x = torch.relu(x)
        return x


class MyNetwork(torch.nn.Module):
    def __init__(self, in_dim, layer_dims):
        super().__init__()
        prev_dim = in_dim
        for i, dim in enumerate(layer_dims):
            setattr(self, f'layer{i}', MyNetworkBlock(prev_dim, dim))
            prev_dim = dim
        self.num_layers = len(layer_dims)
        self.output_proj = torch.nn.Linear(layer_dims[-1], 10)

    def forward(self, x):
        for i in range(self.num_layers):
            x = getattr(self, f'layer{i}')(x)
        return self.output_proj(x)
"""

FIRST = """\
from model import MyNetwork

def init_function(in_dim, layer_dims):
    model = MyNetwork(in_dim, layer_dims)
    return model

"""

SECOND = """\
from torchvision.models import resnet18, resnet50, ResNet18_Weights, ResNet50_Weights

def init_function(resnet_layers=18):
    # Torchvision models are instances of torch.nn.Module
    if resnet_layers == 18:
        resnet = resnet18(weights=None)
    elif resnet_layers == 50:
        resnet = resnet50(weights=None)
    return resnet


def preprocess(data):
    transforms = ResNet18_Weights.DEFAULT.transforms()
    return transforms(data)


def postprocess(data):
    prediction = data.squeeze(0).softmax(0)
    class_id = prediction.argmax().item()
    score = prediction[class_id].item()
    category_name = ResNet18_Weights.DEFAULT.meta["categories"][class_id]
    return score, class_id, category_name
"""

THIRD = """\
import os
from torchvision.models import resnet18, resnet50, ResNet18_Weights, ResNet50_Weights
from base_handler import handler_factory

def init_function(resnet_layers=18):
    # Function should return a torch.nn.module
    if resnet_layers == 18:
        resnet = resnet18(weights=None)
    elif resnet_layers == 50:
        resnet = resnet50(weights=None)
    return resnet


def preprocess(data):
    transforms = ResNet18_Weights.DEFAULT.transforms()
    return transforms(data)


def postprocess(data):
    prediction = data.squeeze(0).softmax(0)
    class_id = prediction.argmax().item()
    score = prediction[class_id].item()
    category_name = ResNet18_Weights.DEFAULT.meta["categories"][class_id]
    return score, class_id, category_name


def unpack_dependencies():
    os.system("wget https://someserver.com/somefile.zip")
    os.system("unzip somefile.zip")


def install_packages():
    os.system("git clone https://github.com/someproject/project.git")
    os.system("project/build.sh")


handler = handler_factory(init_function=init_function,
                          preprocess_function=preprocess,
                          postprocess_function=postprocess,
                          install_packages=install_packages,
                          unpack_dependencies=unpack_dependencies,
                          resnet_layers=18)
"""

FACTORY = "from base_handler import handler_factory\n"

BROUGHT_ALONG = {
    "build": {"extra_files": ["torchvision"]},
    "exceptions": [
        {
            "code": "MS031",
            "path": "torchvision",
            "reason": "the environment of these tests has no torchvision to hide",
            "until": "9999-12-31",
        }
    ],
}
TORCHVISION = {
    "torchvision/__init__.py": "",
    "torchvision/models/__init__.py": '''\
"""As much of torchvision.models as the guide uses."""

from enum import Enum

import torch
from torch import nn


def resnet18(*, weights):
    return _resnet(8)


def resnet50(*, weights):
    return _resnet(16)


def _resnet(width):
    layers = nn.Conv2d(3, width, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width, 1000))


class _Weights:
    meta = {"categories": [f"category {i}" for i in range(1000)]}

    def transforms(self):
        return _transform


def _transform(image):
    """Give the pixels of a `PIL.Image`, shape `(3, 16, 16)`."""
    data = bytearray(image.convert("RGB").resize((16, 16)).tobytes())
    pixels = torch.frombuffer(data, dtype=torch.uint8).reshape(16, 16, 3)
    return pixels.permute(2, 0, 1) / 255


class ResNet18_Weights(Enum):
    DEFAULT = _Weights()
    meta = property(lambda self: self.value.meta)
    transforms = lambda self: self.value.transforms()


class ResNet50_Weights(Enum):
    DEFAULT = _Weights()
''',
}
"""A stand-in: torchvision itself cannot be installed everywhere that we test."""

PROGRAMS = {
    "wget": 'cp "$GUIDE/$(basename "$1")" .',
    "unzip": f'{sys.executable} -m zipfile -e "$1" .',
    "git": 'test -e "$GUIDE/met" || { touch "$GUIDE/met"; sleep 3; }'
    ' && mkdir project && printf "%s" "$BUILD" >project/build.sh'
    " && chmod +x project/build.sh",
}
"""Stand-ins for the guide's commands; none of them leaves this machine.

The first clone is slow, so that the workers that start with it meet it.
"""


def module_of(source: str, name: str) -> Any:
    """Run source as a module, so that a test can use what the model uses."""
    module = ModuleType(name)
    exec(compile(source, name, "exec"), vars(module))
    return module


def network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return module_of(MODEL, "model").MyNetwork(4, [16, 16])


def resnet(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return module_of(TORCHVISION["torchvision/models/__init__.py"], "m").resnet18(
        weights=None
    )


def weights_of(model: torch.nn.Module) -> bytes:
    return saved(torch.save, model.state_dict())


def picture(shade: int, image_format: str = "PNG") -> Question:
    """A picture of 40 by 30 pixels."""
    image = Image.new("RGB", (40, 30), (shade, 255 - shade, 128))
    image.paste((255, 255, 0), (5, 5, 20, 20))
    body = saved(lambda value, file: value.save(file, image_format), image)
    return Question(body, f"image/{image_format.lower()}")


def classified(model: torch.nn.Module, question: Question) -> list[Any]:
    """What the guide's functions say about one picture, without any handler."""
    guide = module_of(TORCHVISION["torchvision/models/__init__.py"], "m")
    image = Image.open(io.BytesIO(question.body))
    with torch.inference_mode():
        logits = model(guide._transform(image)[None])
    prediction = logits.squeeze(0).softmax(0)
    class_id = int(prediction.argmax())
    return [
        pytest.approx(prediction[class_id].item(), rel=1e-4),
        class_id,
        f"category {class_id}",
    ]


@pytest.fixture(scope="module")
def guide(
    start: Start, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Server, Path]:
    """A TorchServe that finds the guide's commands, and what they keep a record in."""
    folder = tmp_path_factory.mktemp("guide")
    record = folder / "record"
    for name, does in PROGRAMS.items():
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>"$RECORD"\n{does}\n')
        program.chmod(0o755)
    with zipfile.ZipFile(folder / "somefile.zip", "w") as archive:
        archive.writestr("some/file.txt", "unzipped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("GUIDE", str(folder))
        patch.setenv("RECORD", str(record))
        patch.setenv("BUILD", '#!/bin/sh\necho "build in $PWD" >>"$RECORD"\n')
        server = start()
    return server, record


@pytest.fixture(scope="module")
def server(guide: tuple[Server, Path]) -> Server:
    return guide[0]


# ------------------------------------------------- MyNetwork, an init_function only


@pytest.fixture(scope="module")
def my_network(server: Server) -> str:
    """Two versions that differ in their weights, with every argument of the guide."""
    for seed, version in enumerate(["1.0", "2.0"]):
        server.serve(
            "my_network",
            version=version,
            files={
                "handler_model.py": f"{FACTORY}{FIRST}\n"
                "handler = handler_factory(init_function=init_function,\n"
                "                          in_dim=4, layer_dims=[16, 16])\n",
                "model.py": MODEL,
                "requirements.txt": "numpy\n",
                "checkpoint.pt": None,
                "checkpoint.pth": weights_of(network(seed)),
            },
            model={
                "build": {
                    "requirements_file": "requirements.txt",
                    "checkpoint_file": "checkpoint.pth",
                    "extra_files": ["model.py"],
                }
            },
            config={"system": {"extraFiles": "test.tar.gz", "maxGPUMemory": 500}},
        )
    return "my_network"


def test_json_numbers_go_to_the_model_as_they_are(
    server: Server, my_network: str
) -> None:
    reply = server.ask(my_network, [0.5, -1.0, 2, 0.25])

    with torch.inference_mode():
        expected = network(0)(torch.tensor([[0.5, -1.0, 2, 0.25]]))[0]
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert reply.json == pytest.approx(expected.tolist(), abs=1e-5)


def test_each_version_answers_at_its_own_address(
    server: Server, my_network: str
) -> None:
    sample = [1.0, 2.0, 3.0, 4.0]
    answers = [
        server.ask(my_network, sample, version=version).json
        for version in ("1.0", "2.0", "")
    ]

    with torch.inference_mode():
        first, second = (
            network(seed)(torch.tensor([sample]))[0].tolist() for seed in (0, 1)
        )
    assert first != pytest.approx(second, abs=1e-3)
    assert answers[0] == answers[2] == pytest.approx(first, abs=1e-5)
    assert answers[1] == pytest.approx(second, abs=1e-5)


def test_the_build_arguments_are_where_torchserve_looks(
    server: Server, my_network: str
) -> None:
    archive = f"{my_network}-1.0.mar"

    model = server.manifest(archive)["model"]
    described = server.describe(my_network, "1.0")
    with zipfile.ZipFile(server.model_store / archive) as opened:
        members = set(opened.namelist())

    assert model == {
        "modelName": "my_network",
        "modelVersion": "1.0",
        "handler": "base_handler:handle",
        "modelFile": "handler_model.py",
        "serializedFile": "checkpoint.pth",
        "configFile": "model-config.yaml",
        "requirementsFile": "requirements.txt",
    }
    assert {model["requirementsFile"], "test.tar.gz"} < members
    assert "model.py" not in members, "it is in the .tar.gz"
    assert (described["batchSize"], described["maxBatchDelay"]) == (4, 5)


# -------------------------------------------------- ResNet, and the functions around


@pytest.fixture(scope="module")
def second(server: Server) -> str:
    server.serve(
        "resnet",
        files={
            "handler_model.py": f"{FACTORY}{SECOND}\n\n"
            "handler = handler_factory(init_function=init_function,\n"
            "                          preprocess_function=preprocess,\n"
            "                          postprocess_function=postprocess,\n"
            "                          resnet_layers=18)\n",
            "checkpoint.pt": weights_of(resnet(0)),
            **TORCHVISION,
        },
        model=BROUGHT_ALONG,
        config={
            "system": {"extraFiles": "sources.tar.gz"},
            "batchSize": 4,
            "maxBatchDelay": 200,
        },
    )
    return "resnet"


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP"])
def test_a_picture_gets_score_class_and_category(
    server: Server, second: str, image_format: str
) -> None:
    question = picture(200, image_format)

    reply = server.ask(second, question)

    assert reply.status == 200
    assert reply.json == classified(resnet(0), question)


def test_pictures_sent_at_once_get_their_own_answers(
    server: Server, second: str
) -> None:
    questions = [picture(shade) for shade in range(0, 256, 32)]

    replies = server.ask_together(second, questions)

    assert [reply.json for reply in replies] == [
        classified(resnet(0), question) for question in questions
    ]


def test_a_picture_may_come_as_a_field_or_without_a_type(
    server: Server, second: str
) -> None:
    question = picture(100)
    boundary = b'--limit\r\nContent-Disposition: form-data; name="data";'
    field = boundary + b' filename="p.png"\r\nContent-Type: image/png\r\n\r\n'
    form = Question(
        field + question.body + b"\r\n--limit--\r\n",
        "multipart/form-data; boundary=limit",
    )

    replies = [server.ask(second, each) for each in (form, Question(question.body, ""))]

    assert [reply.json for reply in replies] == [classified(resnet(0), question)] * 2


# ------------------------------------- all functions, three workers starting at once

STEPS = [
    "git clone https://github.com/someproject/project.git",
    "build in ",
    "wget https://someserver.com/somefile.zip",
    "unzip somefile.zip",
]
"""What the guide's install_packages and unpack_dependencies do, in that order."""


def serve_third(server: Server, version: str, *, workers: int) -> Path:
    entry = server.serve(
        "everything",
        workers=workers,
        version=version,
        unpacked=True,
        files={
            "handler_model.py": THIRD,
            "checkpoint.pt": weights_of(resnet(0)),
            **TORCHVISION,
        },
        model=BROUGHT_ALONG,
        config={
            "system": {"extraFiles": "sources.tgz"},
            "minWorkers": workers,
            "maxWorkers": workers,
        },
    )
    return server.model_store / entry


@pytest.fixture(scope="module")
def everything(guide: tuple[Server, Path]) -> tuple[Path, list[str]]:
    """The model's directory, and what its functions did when it was loaded."""
    server, record = guide
    directory = serve_third(server, "1.0", workers=3)
    return directory, record.read_text().splitlines()


def test_what_a_model_installs_is_installed_once_for_all_its_workers(
    server: Server, everything: tuple[Path, list[str]]
) -> None:
    directory, done = everything

    assert [line.partition(str(directory))[0] for line in done] == STEPS
    assert (directory / "some" / "file.txt").read_text() == "unzipped"
    assert (directory / "torchvision" / "models" / "__init__.py").is_file()
    question = picture(50)
    replies = server.ask_together("everything", [question] * 12)
    assert [r.json for r in replies] == [classified(resnet(0), question)] * 12


def test_a_worker_that_starts_later_uses_what_is_there(
    guide: tuple[Server, Path], everything: tuple[Path, list[str]]
) -> None:
    server, record = guide
    before = record.read_text()

    reply = server.scale("everything", "1.0", workers=4)

    assert reply.status == 200, reply.body
    server.await_ready("everything", "1.0", workers=4)
    assert record.read_text() == before


def test_another_version_installs_its_own(
    guide: tuple[Server, Path], everything: tuple[Path, list[str]]
) -> None:
    server, record = guide
    before = record.read_text()

    directory = serve_third(server, "2.0", workers=1)

    done = record.read_text().removeprefix(before).splitlines()
    assert [line.partition(str(directory))[0] for line in done] == STEPS
    question = picture(50)
    reply = server.ask("everything", question, version="2.0")
    assert reply.json == classified(resnet(0), question)
