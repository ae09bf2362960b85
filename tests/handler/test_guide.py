"""The guide's own examples, word for word, and TorchServe's own worker code."""

import io
import json
import stat
import struct
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

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

HANDLER_MODEL = """\
from model import MyNetwork

def init_function(in_dim, layer_dims):
    model = MyNetwork(in_dim, layer_dims)
    return model

"""

HELPERS = """\
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

INSTALL = """\
import os
# Alternatively you can use subprocess

def unpack_dependencies():
    os.system("wget https://someserver.com/somefile.zip")
    os.system("unzip somefile.zip")


def install_packages():
    os.system("git clone https://github.com/someproject/project.git")
    os.system("project/build.sh")
"""

WHOLE = """\
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

CONFIG = """\
minWorkers: 1   # Minimumum number of workers needed for the model

maxWorkers: 1   # Maximum number of workeres needed for the model.

maxBatchDelay: 4000     # This is the maximum delay between requests.

responseTimeout: 5200   # This is the maximum delay before a failed reponse.
batchSize: 4    # The batchsize of the model.

deviceType: "gpu"   # This is the device that the model needs to be placed on.

deviceIds: [0,1,2,3] # gpu device ids allocated to this model.

# These are extra parameters that we define for our model-servers handler.
system:
  extraFiles: "test.tar.gz"     # This is the extra source code files.

  maxGPUMemory: 500     # Max GPU Memory needed by model in MB.
"""

TORCHVISION = """\
import torch
from types import SimpleNamespace

def _transforms():
    def transform(image):
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        return pixels.reshape(image.height, image.width, 3).permute(2, 0, 1) / 255
    return transform

class ResNet18_Weights:
    DEFAULT = SimpleNamespace(
        transforms=_transforms, meta={"categories": ["red", "green", "blue"]}
    )

ResNet50_Weights = ResNet18_Weights

class _Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 3, bias=False)
    def forward(self, x):
        return self.fc(x.mean(dim=(2, 3)))

def resnet18(weights):
    return _Net()

def resnet50(weights):
    raise AssertionError("resnet_layers=18 did not arrive")
"""


def picture(colour: tuple[int, int, int]) -> tuple[bytes, str]:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue(), "image/png"


PICTURES = [picture((255, 0, 0)), picture((0, 255, 0)), picture((0, 0, 255))]


@pytest.fixture
def resnet(models: Any) -> Any:
    """A stand-in for torchvision, and a checkpoint that tells colours apart."""
    models.write({"torchvision/__init__.py": "", "torchvision/models.py": TORCHVISION})
    torch.save({"fc.weight": torch.eye(3) * 9}, models.directory / "checkpoint.pth")
    return models


def colours(replies: Any) -> list[Any]:
    return [tuple(reply.json[1:]) for reply in replies]


def test_the_guides_network_with_its_sources_packed_by_its_command(
    models: Any, tmp_path: Path
) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    subprocess.run(
        ["tar", "-cvf", models.directory / "test.tar.gz", "-C", tmp_path, "model.py"],
        check=True,
        capture_output=True,
    )
    names: dict[str, Any] = {}
    exec(MODEL, names)
    network = names["MyNetwork"](4, [8, 6])
    torch.save(network.state_dict(), models.directory / "checkpoint.pth")
    config = {**yaml.safe_load(CONFIG), "deviceType": "cpu"}
    source = (
        HANDLER_MODEL
        + "from base_handler import handler_factory\n"
        + "handler = handler_factory(init_function=init_function, in_dim=4,"
        " layer_dims=[8, 6])\n"
    )

    served = models.load(source, checkpoint="checkpoint.pth", config=config)
    replies = served.ask_json([1, 2, 3, 4], [5, 6, 7, 8])

    rows = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    for reply, row in zip(replies, network(rows).tolist(), strict=True):
        assert reply.json == pytest.approx(row, rel=1e-5)


def test_the_guides_config_asks_for_a_gpu_and_gets_no_cpu(models: Any) -> None:
    reason = models.refusal(WHOLE, config=yaml.safe_load(CONFIG))

    assert "deviceType gpu" in reason


def test_the_guides_helpers_classify_images(resnet: Any) -> None:
    source = HELPERS + (
        "from base_handler import handler_factory\n"
        "handler = handler_factory(init_function, preprocess, postprocess)\n"
    )

    served = resnet.load(source, checkpoint="checkpoint.pth")

    assert colours(served.ask(*PICTURES)) == [(0, "red"), (1, "green"), (2, "blue")]


def test_the_guides_whole_handler_works(
    resnet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # wget, unzip and git are replaced by what they would leave behind.
    tools = tmp_path / "bin"
    tools.mkdir()
    build = (
        r"mkdir project && printf '#!/bin/sh\necho built >> done\n' > project/build.sh"
    )
    for name, script in {
        "wget": 'echo "wget $*" >> done; touch somefile.zip',
        "unzip": 'test -e "$1" && echo "unzip $*" >> done',
        "git": f'echo "git $*" >> done; {build}; chmod +x project/build.sh',
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tools), prepend=":")

    served = resnet.load(WHOLE, checkpoint="checkpoint.pth")

    assert (resnet.directory / "done").read_text().splitlines() == [
        "git clone https://github.com/someproject/project.git",
        "built",
        "wget https://someserver.com/somefile.zip",
        "unzip somefile.zip",
    ]
    replies = served.ask(PICTURES[0], (b"no image", "image/png"), PICTURES[2])
    assert [reply.status for reply in replies] == [200, 400, 200]
    assert replies[0].json[1:] == [0, "red"]
    assert replies[0].json[0] == pytest.approx(
        torch.tensor([9.0, 0, 0]).softmax(0)[0].item()
    )


def test_the_guides_install_functions_stand_on_their_own() -> None:
    names: dict[str, Any] = {}

    exec(INSTALL, names)

    assert {"install_packages", "unpack_dependencies"} <= set(names)
    assert INSTALL.partition("def ")[2] in WHOLE.replace("\n\n\nhandler", "\n\nhandler")


@pytest.mark.filterwarnings(
    # TorchServe leaves its metrics file open.
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_torchserves_own_worker_loads_and_asks_the_handler(models: Any) -> None:
    """What the Java side would send goes through ts.service and its protocol."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader = pytest.importorskip("ts.model_loader")
        metrics = pytest.importorskip("ts.metrics.metric_cache_yaml_impl")
    models.write(
        {
            "MAR-INF/MANIFEST.json": json.dumps(
                {"model": {"modelFile": "handler_model.py", "configFile": "c.yaml"}}
            ),
            "c.yaml": "handler: {stage_metrics: true}",
            "handler_model.py": HANDLER_MODEL.replace(
                "from model", "from base_handler import handler_factory\nfrom own_model"
            )
            + "handler = handler_factory(init_function, in_dim=2, layer_dims=[3])\n",
            "own_model.py": MODEL,
        }
    )
    path = Path(metrics.__file__).parents[1] / "configs" / "metrics.yaml"
    cache = metrics.MetricsCacheYamlImpl(config_file_path=str(path))
    cache.initialize_cache()
    cache.model_name = "tiny"

    service = loader.ModelLoaderFactory.get_model_loader().load(
        "tiny",
        str(models.directory),
        "base_handler:handle",
        batch_size=4,
        metrics_cache=cache,
    )
    service.set_cl_socket(None)
    response = service.predict(
        [
            {
                "requestId": str(index).encode(),
                "headers": [{"name": b"Accept", "value": b"*/*"}],
                "parameters": [
                    {
                        "name": "body",
                        "contentType": "application/json",
                        "value": bytearray(body),
                    }
                ],
            }
            for index, body in enumerate([b"[1, 2]", b"[1,", b"[3, 4]"])
        ]
    )

    assert struct.unpack("!i", response[:4]) == (200,)
    assert response.count(b"application/json") == 6  # each type and each header
    assert response.count(b"Bad Request") == 1
    assert b'"code": 400, "type": "JSONDecodeError"' in response
