"""Lays out the contenders as model directories, and makes what they are asked."""

from __future__ import annotations

import io
import json
import random
import runpy
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model_servers.adapters import bundled

SOURCES = Path(__file__).parent / "sources"
CONTENDERS = {
    "const": "constant bytes: TorchServe's own ceiling under its JSON decode",
    "base": "derived from TorchServe's `BaseHandler`, `preprocess` of `VisionHandler`",
    "stacked": "written by hand: `torch.tensor` per row, one stacked forward",
    "loop": "preprocess, forward, postprocess for each sample, as the guide implies",
    "ours": "`handler/`, a directory with a manifest",
}


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model and the request that it is asked."""

    name: str
    about: str
    model: str
    sample: str
    content_type: str
    make_body: Callable[[], bytes]


def _numbers(count: int) -> list[float]:
    values = random.Random(7)
    return [round(values.random(), 5) for _ in range(count)]


def _jpeg() -> bytes:
    from PIL import Image  # noqa: PLC0415 - only for this workload

    noise = bytes(random.Random(7).randrange(256) for _ in range(12 * 12 * 3))
    buffer = io.BytesIO()
    image = Image.frombytes("RGB", (12, 12), noise).resize((160, 160), Image.BICUBIC)
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def _json(count: int) -> Callable[[], bytes]:
    return lambda: json.dumps(_numbers(count)).encode()


WORKLOADS = (
    Workload(
        name="json",
        about="tiny MLP, a JSON list of 784 floats",
        model="tiny",
        sample="numbers",
        content_type="application/json",
        make_body=_json(784),
    ),
    Workload(
        name="raw",
        about="tiny MLP, the same as raw float32",
        model="tiny",
        sample="raw",
        content_type="application/octet-stream",
        make_body=lambda: struct.pack("784f", *_numbers(784)),
    ),
    Workload(
        name="wide",
        about="tiny MLP with 1000 outputs, JSON",
        model="wide",
        sample="numbers",
        content_type="application/json",
        make_body=_json(784),
    ),
    Workload(
        name="image",
        about="small CNN, a JPEG of 160x160, resized to 64x64",
        model="cnn",
        sample="image",
        content_type="image/jpeg",
        make_body=_jpeg,
    ),
)
DEEP = Workload(
    name="deep",
    about="linear layers of 1000x1000, JSON",
    model="deep",
    sample="numbers",
    content_type="application/json",
    make_body=_json(1000),
)


def body_of(store: Path, workload: Workload) -> Path:
    """Write the request's body into *store*, where load generators read it."""
    path = store / f"{workload.name}.body"
    if not path.exists():
        path.write_bytes(workload.make_body())
    return path


def write_model(
    store: Path, contender: str, workload: Workload, *, layers: int = 0
) -> Path:
    """Write a model directory, ready to be registered by its name."""
    folder = store / f"{contender}-{workload.name}"
    (folder / "MAR-INF").mkdir(parents=True)
    source = (SOURCES / f"model_{workload.model}.py").read_text()
    (folder / "model.py").write_text(source.replace("LAYERS = 0", f"LAYERS = {layers}"))
    shutil.copy(SOURCES / f"sample_{workload.sample}.py", folder / "sample.py")
    author = "handler_model.py" if contender == "ours" else "contender.py"
    shutil.copy(SOURCES / f"{contender}.py", folder / author)
    model = {
        "modelName": folder.name,
        "modelVersion": "1.0",
        "handler": "contender.py",
        "modelFile": "model.py",
        "serializedFile": "checkpoint.pt",
    }
    if contender == "ours":
        cache = shutil.ignore_patterns("__pycache__")
        shutil.copytree(bundled.handler(), folder, dirs_exist_ok=True, ignore=cache)
        (folder / "model-config.yaml").write_text("handler:\n  torch_threads: 1\n")
        model |= {
            "handler": "base_handler:handle",
            "modelFile": author,
            "configFile": "model-config.yaml",
        }
    manifest = {"runtime": "python", "model": model}
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))
    _share_checkpoint(folder, workload)
    return folder


def _share_checkpoint(folder: Path, workload: Workload) -> None:
    """Give every contender of a workload the same weights."""
    import torch  # noqa: PLC0415 - slow, and `--help` needs none

    shared = folder.parent / f"{workload.model}.pt"
    if not shared.exists():
        torch.manual_seed(7)
        network = runpy.run_path(str(folder / "model.py"))["Network"]
        torch.save(network().state_dict(), shared)
    (folder / "checkpoint.pt").hardlink_to(shared)
