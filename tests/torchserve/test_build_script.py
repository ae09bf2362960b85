"""What the guide's build script makes, in a stock TorchServe."""

import subprocess

import pytest
import torch

from model_servers.adapters.bundled import handler
from torchserve import guide
from torchserve.serving import Server, saved

pytestmark = pytest.mark.torchserve

HANDLER_LINE = """
from base_handler import handler_factory
handler = handler_factory(init_function=init_function, in_dim=4, layer_dims=[16, 16])
"""
CONFIG = """\
minWorkers: 1
maxWorkers: 1
maxBatchDelay: 5
responseTimeout: 60
batchSize: 4
system:
  extraFiles: "test.tar.gz"
  maxGPUMemory: 500
"""


def test_the_guides_first_model_is_built_and_answers(server: Server, tmp_path):
    names: dict[str, object] = {}
    exec(guide.MODEL, names)
    network = names["MyNetwork"](4, [16, 16])
    for name, content in {
        "model.py": guide.MODEL.encode(),
        "handler_model.py": (guide.FIRST + HANDLER_LINE).encode(),
        "model-config.yaml": CONFIG.encode(),
        "requirements.txt": b"",
        "checkpoint.pth": saved(torch.save, network.state_dict()),
    }.items():
        (tmp_path / name).write_bytes(content)
    packing = ["tar", "-cvf", "test.tar.gz", "-C", ".", "model.py"]
    subprocess.run(packing, cwd=tmp_path, check=True, capture_output=True)
    built = subprocess.run(
        [
            *(handler() / "build.sh", "--model_name", "my_network"),
            *("--model_file", "handler_model.py", "--config_file", "model-config.yaml"),
            *("--requirements_file", "requirements.txt"),
            *("--checkpoint_file", "checkpoint.pth", "--version", "1.0"),
            *("--extra_files", "test.tar.gz", "--output", server.model_store),
        ],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr

    url = f"{server.addresses.management}/models?url=my_network.mar&initial_workers=1"
    reply = server.request("POST", url)
    assert reply.status in (200, 202), reply.body
    server.await_ready("my_network", "1.0")

    answer = server.ask("my_network", [1, 2, 3, 4], version="1.0")

    expected = network(torch.tensor([1.0, 2, 3, 4])).tolist()
    assert answer.status == 200, answer.body
    assert answer.json == pytest.approx(expected, abs=1e-5)
