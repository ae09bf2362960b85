"""Examples for the kinds of findings that are clearer with one."""

from __future__ import annotations

from collections.abc import Mapping

from model_servers.core.codes import Code

EXAMPLES: Mapping[Code, str] = {
    Code.UNREADABLE: """\
version: 1.0
version: 1.1     # the key is there twice""",
    Code.SHAPE: """\
version: 1.10    # the number 1.1; write "1.10\"""",
    Code.TWIN: """\
registry/my-network/   registry/my_network/""",
    Code.OUTSIDE_MODEL: """\
build:
  extra_files: [../common/model.py]""",
    Code.EXTRA_FILES: """\
# model.yaml
build:
  extra_files: [model.py]
# model-config.yaml
system:
  extraFiles: "source.tar.gz"   # built from the list above""",
    Code.TIMEOUT: """\
responseTimeout: 5200   # 1.4 hours; 5.2 seconds would be 6""",
    Code.NO_HANDLER: """\
from base_handler import handler_factory

handler = handler_factory(init_function=init_function)""",
    Code.SHADOWED: """\
build:
  extra_files: [json.py]   # torch, TorchServe and the handler import json""",
    Code.REQUIREMENTS: """\
torch==2.3.0         # the host's own torch is used
torchmetrics==1.4.0  # fine""",
    Code.UNPINNED: """\
numpy>=2        # write numpy==2.2.6""",
    Code.REQUIREMENT_OPTION: """\
-e .
--index-url https://user:password@host/simple
-r more.txt      # fine if build.extra_files has it""",
    Code.CHECKPOINT: """\
checkpoint:
  sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  size: 4""",
    Code.ABSOLUTE_PATH: """\
labels = open("/home/ada/labels.txt")
labels = open(Path(__file__).parent / "labels.txt")   # there on every host""",
    Code.GPU_MEMORY: """\
deviceType: "gpu"
system:
  maxGPUMemory: 500   # MB""",
}
