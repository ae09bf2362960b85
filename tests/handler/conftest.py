"""A model directory on disk and a stand-in for TorchServe's context."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import base_handler
from model_servers_handler.answering import Handler

JSON = "application/json"


class Context:
    """TorchServe's context, as far as a handler sees it (ts/context.py, 0.12)."""

    def __init__(self, directory: Path, **facts: Any) -> None:
        self.system_properties = {
            "model_dir": str(directory),
            "gpu_id": facts.get("gpu_id"),
            "batch_size": facts.get("batch_size", 1),
        }
        self.manifest = facts.get("manifest", {})
        self.model_yaml_config = facts.get("config", {})
        self.metrics = facts.get("metrics")
        self.headers: list[dict[str, Any]] = []
        self.statuses: dict[int, tuple[int, str]] = {}
        self.types: dict[int, str] = {}

    def get_all_request_header(self, index: int) -> dict[str, Any]:
        return self.headers[index]

    def set_response_status(self, code: int, phrase: str, idx: int) -> None:
        self.statuses[idx] = (code, phrase)

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.types[idx] = value


@dataclass(frozen=True)
class Reply:
    status: int
    phrase: str
    content_type: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A loaded model; `ask` sends it one batch."""

    entry: Callable[[Any, Any], Any]
    context: Context

    def ask(self, *requests: Any) -> list[Reply]:
        """Each request is (body, content type[, headers]) or a dict of such fields."""
        fields = [_fields(request) for request in requests]
        self.context.headers = [headers for _, headers in fields]
        self.context.statuses, self.context.types = {}, {}
        bodies = self.entry([values for values, _ in fields], self.context)
        return [
            Reply(
                *self.context.statuses.get(index, (200, "")),
                self.context.types[index],
                body,
            )
            for index, body in enumerate(bodies)
        ]

    def ask_json(self, *values: Any) -> list[Reply]:
        return self.ask(*((json.dumps(value).encode(), JSON) for value in values))

    @property
    def handler(self) -> Handler:
        handler: Handler = self.context.model_servers_handler  # type: ignore[attr-defined]
        return handler


def _fields(request: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    parts = request if isinstance(request, Mapping) else {"body": request}
    values: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    for name, (body, content_type, *more) in parts.items():
        values[name] = bytearray(body)
        headers[name] = {"content-type": content_type}
        headers.update(*more)
    return values, headers


@dataclass
class Models:
    """Makes model directories and loads them."""

    directory: Path
    loaded: list[Served] = field(default_factory=list)

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def context(self, *, checkpoint: str | None = None, **facts: Any) -> Context:
        model = {"modelName": "tiny", "modelVersion": "1.0"}
        if (self.directory / "handler_model.py").exists():
            model["modelFile"] = "handler_model.py"
        if checkpoint is not None:
            model["serializedFile"] = checkpoint
        facts.setdefault("manifest", {"model": model})
        return Context(self.directory, **facts)

    def load(self, source: Any = None, **facts: Any) -> Served:
        """Load a model from its author's file, or from what `handler_factory` gave."""
        if isinstance(source, str):
            self.write({"handler_model.py": source})
        entry = base_handler.handle if isinstance(source, str | None) else source
        context = self.context(**facts)
        assert entry(None, context) is None
        return Served(entry, context)

    def refusal(self, source: Any = None, **facts: Any) -> str:
        """Give the reason why a model cannot be loaded."""
        with pytest.raises(RuntimeError) as caught:
            self.load(source, **facts)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Models]:
    directory = tmp_path / "model"
    directory.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "true")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    paths, modules = list(sys.path), set(sys.modules)
    yield Models(directory)
    sys.path[:] = paths
    for name in set(sys.modules) - modules:
        if str(tmp_path) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _no_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(status: int) -> None:
        raise AssertionError(f"the process would have ended with {status}")

    monkeypatch.setattr(os, "_exit", refuse)
