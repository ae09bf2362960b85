"""Models built for a running TorchServe, and questions asked of them."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import numpy as np
import urllib3

from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.torchserve_process import Addresses
from model_servers.cli.main import main
from model_servers.journeys.build import Build
from zoo import make_model

JSON = "application/json"
LIMIT_S = 120.0
"""For anything that a worker does; a shared machine may be slow, none is so slow."""

_REFUSAL = "model_servers_handler.errors.LoadError: "
"""What stands in the log before the reason why a model cannot be loaded."""

_LOGGED_S = 20.0
"""Until what a worker printed is in TorchServe's log, at the latest."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    reason: str | None
    content_type: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Question:
    """A request for a prediction."""

    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, **headers: str) -> Question:
        return cls(json.dumps(value).encode(), headers=headers)


@dataclass(frozen=True)
class Server:
    """A running TorchServe, and the folders that it reads and writes."""

    addresses: Addresses
    model_store: Path
    registry: Path
    logs: Path
    http: urllib3.PoolManager

    def build(
        self,
        name: str,
        *,
        version: str = "1.0.0",
        unpacked: bool = False,
        validated: bool = True,
        files: Mapping[str, str | bytes | None] = _NOTHING,
        model: Mapping[str, Any] = _NOTHING,
        config: Mapping[str, Any] = _NOTHING,
    ) -> str:
        """Write a model, build it with ``ms build``, and give what to register.

        What ``ms build`` would refuse comes onto a host all the same in archives that
        others have made: *validated* is whether it is asked.
        """
        registry = self.registry / version  # one version of a model in each
        make_model(
            registry, name, version=version, files=files, model=model, config=config
        )
        if validated:
            arguments = ["--registry", str(registry), "-o", str(self.model_store)]
            assert main(["build", name, *arguments]) == 0
        else:
            build = Build(registry=Checkout(registry), writer=MarWriter())
            build.write(build.recipe(name), self.model_store)
        archive = self.model_store / f"{name}-{version}.mar"
        if not unpacked:
            return archive.name
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(self.model_store / archive.stem)
        archive.unlink()
        return archive.stem

    def manifest(self, entry: str) -> Any:
        """Give the manifest of a built archive."""
        with zipfile.ZipFile(self.model_store / entry) as archive:
            return json.loads(archive.read("MAR-INF/MANIFEST.json"))

    def register(self, entry: str, *, wait: bool = True) -> Reply:
        """Register what *entry* names; waits until it is loaded or refused."""
        name = entry.rpartition("-")[0]
        query = f"url={quote(entry)}&model_name={name}&initial_workers=1"
        wanted = f"{query}&synchronous={'true' if wait else 'false'}"
        return self.request("POST", f"{self.addresses.management}/models?{wanted}")

    def serve(self, name: str, *, workers: int = 1, **model: Any) -> str:
        """Build and register a model, and wait until its workers are READY."""
        version = model.get("version", "1.0.0")
        entry = self.build(name, **model)
        reply = self.register(entry, wait=False)
        assert reply.status == 202, reply.body
        self.await_ready(name, version, workers=workers)
        return entry

    def await_ready(self, name: str, version: str = "", *, workers: int = 1) -> None:
        deadline = time.monotonic() + LIMIT_S
        while (states := self.states(name, version)) != ["READY"] * workers:
            refusals = self.refusals()
            assert not refusals, refusals
            assert time.monotonic() < deadline, (
                f"{name}: {states}\n{self.log()[-3000:]}"
            )
            time.sleep(0.05)

    def scale(self, name: str, version: str, *, workers: int) -> Reply:
        """Ask for another number of workers, and wait for those that start."""
        query = f"min_worker={workers}&max_worker={workers}&synchronous=true"
        return self.request("PUT", f"{self._described_at(name, version)}?{query}")

    def unregister(self, name: str, version: str) -> Reply:
        return self.request("DELETE", self._described_at(name, version))

    def describe(
        self, name: str, version: str = "", *, customized: bool = False
    ) -> Any:
        query = "?customized=true" if customized else ""
        reply = self.request("GET", f"{self._described_at(name, version)}{query}")
        assert reply.status == 200, reply.body
        (described,) = reply.json
        return described

    def states(self, name: str, version: str = "") -> list[str]:
        return [each["status"] for each in self.describe(name, version)["workers"]]

    def pids(self, name: str, version: str = "") -> list[int]:
        """List the processes of a model's workers; a restarted one has another."""
        return [each["pid"] for each in self.describe(name, version)["workers"]]

    def ask(
        self,
        name: str,
        question: Any,
        *,
        version: str = "",
        **headers: str,
    ) -> Reply:
        """Ask for one prediction; what is no `Question` is sent as JSON."""
        if not isinstance(question, Question):
            question = Question.json(question)
        path = f"/predictions/{name}" + (f"/{version}" if version else "")
        return self.request(
            "POST",
            f"{self.addresses.inference}{path}",
            body=question.body,
            headers={
                **(
                    {"Content-Type": question.content_type}
                    if question.content_type
                    else {}
                ),
                **question.headers,
                **headers,
            },
        )

    def ask_together(self, name: str, questions: Iterable[Any]) -> list[Reply]:
        """Ask for each prediction from a thread of its own, all at once."""
        questions = list(questions)
        with ThreadPoolExecutor(len(questions)) as threads:
            return list(threads.map(lambda one: self.ask(name, one), questions))

    def log(self, name: str = "model_log.log") -> str:
        """Give a log of TorchServe; what workers print is in ``model_log.log``."""
        path = self.logs / name
        return path.read_text(errors="replace") if path.exists() else ""

    def refusals(self, model: str = "") -> list[str]:
        """List what the workers of a model, or of all, said when they refused it.

        Args:
            model: its name and version as TorchServe's log has them, `name_1.0.0`.
        """
        return [
            line.partition(_REFUSAL)[2]
            for line in self.log().splitlines()
            if _REFUSAL in line and f"-{model}" in line.partition("MODEL_LOG")[0]
        ]

    def await_refusals(self, model: str) -> list[str]:
        """List them once there are any; TorchServe logs while it answers."""
        deadline = time.monotonic() + _LOGGED_S
        while not (found := self.refusals(model)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def request(self, method: str, url: str, **arguments: Any) -> Reply:
        answer = self.http.request(method, url, **arguments)
        content_type = answer.headers.get("content-type", "")
        return Reply(answer.status, answer.reason, content_type, answer.data)

    def _described_at(self, name: str, version: str) -> str:
        path = f"{self.addresses.management}/models/{name}"
        return f"{path}/{version}" if version else path


Start = Callable[..., Server]
"""Starts a TorchServe with settings of its own."""


def saved(save: Callable[[Any, Any], None], value: Any) -> bytes:
    """Give what *save*, such as `torch.save`, writes."""
    buffer = io.BytesIO()
    save(value, buffer)
    return buffer.getvalue()


def npy(value: Any) -> bytes:
    """Write an array as an .npy file."""
    return saved(lambda array, file: np.save(file, array), value)
