"""The guide's examples, word for word.

Where it shows functions without the line that makes a handler of them, the line of its
last example is added.
"""

from __future__ import annotations

import io
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from torchserve.serving import Question, saved

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
