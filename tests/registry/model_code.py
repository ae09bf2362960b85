"""Runs a registered model's functions in this process, without TorchServe.

Run as a program it writes the answers into the golden cases that it is given, for
a model whose answers changed on purpose:

    python tests/registry/model_code.py registry/digits/golden/*.yaml
"""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image

REGISTRY = Path(__file__).parents[2] / "registry"


@dataclass(frozen=True, kw_only=True)
class ModelCode:
    """A model's own modules and what it told ``handler_factory``."""

    directory: Path
    handler: dict[str, Any]
    training: ModuleType | None

    @classmethod
    def load(cls, directory: Path) -> "ModelCode":
        """Import the model's code; no module of it stays importable afterwards."""
        said: dict[str, Any] = {}
        with _importable(directory, base_handler=_listening(said)):
            importlib.import_module("handler_model")
            has_training = (directory / "train.py").exists()
            training = importlib.import_module("train") if has_training else None
        return cls(directory=directory, handler=said, training=training)

    @property
    def checkpoint(self) -> Path:
        return self.directory / self.spec["build"]["checkpoint_file"]

    @property
    def spec(self) -> dict[str, Any]:
        return yaml.safe_load((self.directory / "model.yaml").read_text())

    @property
    def readme(self) -> str:
        return (self.directory / "README.md").read_text()

    def preprocess(self, data: Any) -> Any:
        function = self.handler.get("preprocess_function", torch.tensor)
        return function(data)

    def answer(self, *requests: Any) -> list[Any]:
        """Give the answer to each request, computed in one batch."""
        samples = [self.preprocess(data) for data in requests]
        join = torch.stack if isinstance(samples[0], torch.Tensor) else np.stack
        postprocess = self.handler.get("postprocess_function", lambda row: row.tolist())
        with torch.inference_mode():
            return [postprocess(row) for row in self._model()(join(samples))]

    def _model(self) -> Any:
        functions = {"init_function", "preprocess_function", "postprocess_function"}
        kwargs = {k: v for k, v in self.handler.items() if k not in functions}
        initialize = self.handler["init_function"]
        if "checkpoint_path" in inspect.signature(initialize).parameters:
            return initialize(checkpoint_path=self.checkpoint, **kwargs)
        model = initialize(**kwargs)
        model.load_state_dict(torch.load(self.checkpoint, weights_only=True))
        return model.eval()


def _listening(said: dict[str, Any]) -> ModuleType:
    """Give a ``base_handler`` that notes in *said* what ``handler_factory`` is told.

    The shared handler gets it too, where it can be imported.
    """
    listening = ModuleType("base_handler")
    has_shared = importlib.util.find_spec("base_handler") is not None
    shared = importlib.import_module("base_handler") if has_shared else None

    def handler_factory(**arguments: Any) -> Any:
        said.update(arguments)
        return shared.handler_factory(**arguments) if shared else None

    vars(listening)["handler_factory"] = handler_factory
    return listening


@contextmanager
def _importable(directory: Path, *, base_handler: ModuleType) -> Iterator[None]:
    """Let the files in *directory* be imported, as in an archive, and forget them."""
    own = {path.stem for path in directory.iterdir()} | {"base_handler"}
    others = _forget(own)
    sys.modules["base_handler"] = base_handler
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        sys.path.remove(str(directory))
        _forget(own)
        sys.modules.update(others)


def _forget(packages: set[str]) -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.split(".")[0] in packages]
    return {name: sys.modules.pop(name) for name in names}


def cases(model: ModelCode) -> list[Path]:
    return sorted((model.directory / model.spec["golden"]).glob("*.yaml"))


def decoded(case: Path) -> Any:
    """Give the request of a golden case as the handler gives it to ``preprocess``."""
    request = yaml.safe_load(case.read_text())["request"]
    if "file" in request:
        return Image.open(case.with_name(request["file"]))
    return request["json"]


def record(case: Path) -> None:
    """Put the answer that the model gives now into *case*; the rest stays."""
    (answer,) = ModelCode.load(case.parents[1]).answer(decoded(case))
    expect = yaml.safe_dump(
        {"expect": {"json": _six_digits(answer)}},
        sort_keys=False,
        default_flow_style=None,
        width=84,
    )
    text, count = re.subn(
        r"^expect:\n(?:[ -].*\n)+", lambda _: expect, case.read_text(), flags=re.M
    )
    if count != 1:
        raise ValueError(f"{case}: expected one block 'expect:', found {count}")
    case.write_text(text)


def _six_digits(answer: Any) -> Any:
    match answer:
        case float():
            return float(f"{answer:.6g}")
        case list():
            return [_six_digits(item) for item in answer]
        case dict():
            return {key: _six_digits(value) for key, value in answer.items()}
    return answer


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        record(Path(argument).resolve())
