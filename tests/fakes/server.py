"""A model server in memory that behaves as TorchServe 0.12 does where it matters."""

from __future__ import annotations

import itertools
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from model_servers.core.entries import Layout
from model_servers.core.golden import Request
from model_servers.core.host import ServedVersion
from model_servers.core.names import Ref
from model_servers.errors import OutsideError

Answer = tuple[int, bytes]


@dataclass(kw_only=True)
class Script:
    """How the workers of one entry of the model store will do."""

    ready_after: int | None = 1
    """Number of descriptions until all workers are ready; None means never."""

    crashes: bool = False
    """Every description shows new processes, none of them ready."""

    load_error: str = ""
    """What the shared handler would write into the model's directory."""

    ignores: dict[str, int] = field(default_factory=dict)
    """Settings of its model config that TorchServe will not take."""

    pending: list[int] = field(default_factory=list)
    """Requests waiting, at one description after the other; then none."""

    device: str = "cpu"

    answer: Callable[[Request], Answer] = lambda request: (200, request.body)
    """What it predicts; the request's own body unless it is said."""


@dataclass(kw_only=True)
class _Registered:
    entry: str
    folder: Path
    """Where its workers run."""

    config: dict[str, Any]
    script: Script
    workers: int
    seen: int = 0
    """Descriptions since the workers were asked for."""

    pids: list[int] = field(default_factory=list)


class FakeServer:
    """Registers the directories of a model store, and remembers what it was told."""

    def __init__(self, folder: Path, *, layout: Layout = Layout.DIR) -> None:
        self.temp = folder.parent / "temp"
        """Where archives are unpacked, each time anew."""

        self.address = "http://fake-server"
        self.calls: list[tuple[str, ...]] = []
        """What was to change the server: the method and its arguments."""

        self.asked: list[tuple[str, str | None]] = []
        """For each prediction: the ref, and the version that was the default then."""

        self.before_call: Callable[[str], None] = lambda method: None
        self.after_call: Callable[[str], None] = lambda method: None
        self.scripts: dict[str, Script] = {}
        self._folder = folder
        self._layout = layout
        self._models: dict[str, dict[str, _Registered]] = {}
        self._defaults: dict[str, str] = {}
        self._pids = itertools.count(1000)

    def registers(self, layout: Layout) -> None:
        """Take entries of another layout from now on."""
        self._layout = layout

    def script(self, entry: str, **how: Any) -> None:
        """Say how *entry* will do once it is registered."""
        self.scripts[entry] = Script(**how)

    def default(self, name: str) -> str | None:
        """Give the version that answers requests which name none."""
        return self._defaults.get(name)

    def versions(self, name: str) -> list[str]:
        """List the registered versions of a model."""
        return sorted(self._models.get(name, ()))

    def served(self) -> dict[str, tuple[ServedVersion, ...]]:
        return {name: self.describe(name) for name in sorted(self._models)}

    def describe(self, name: str) -> tuple[ServedVersion, ...]:
        self.before_call("describe")
        found = self._models.get(name, {})
        return tuple(
            self._described(name, version, found[version]) for version in sorted(found)
        )

    def register(self, ref: Ref) -> None:
        self._called("register", str(ref))
        entry = self._layout.entry(ref)
        manifest = self._folder / entry / "MAR-INF" / "MANIFEST.json"
        if not (manifest.is_file() or zipfile.is_zipfile(self._folder / entry)):
            raise _refused(404, f"{entry} is not in the model store")
        self.register_as(ref.name, str(ref.version), entry)
        self.after_call("register")

    def register_as(self, name: str, version: str, entry: str) -> None:
        """Register a directory of the model store, or any address, as anything."""
        versions = self._models.setdefault(name, {})
        if version in versions:
            raise _refused(409, f"{name}@{version} is already registered")
        folder = self._run_in(entry)
        config = _config(folder)
        script = self._script(entry)
        workers = int(config.get("minWorkers", 1))
        one = _Registered(
            entry=entry, folder=folder, config=config, script=script, workers=workers
        )
        versions[version] = one
        self._defaults.setdefault(name, version)
        self._start(one)

    def scale(self, name: str, version: str, workers: int) -> None:
        self._called("scale", name, version, str(workers))
        one = self._find(name, version)
        one.workers = workers
        self._start(one)
        self.after_call("scale")

    def set_default(self, ref: Ref) -> None:
        self._called("set_default", str(ref))
        self._find(ref.name, str(ref.version))
        self._defaults[ref.name] = str(ref.version)
        self.after_call("set_default")

    def unregister(self, name: str, version: str) -> None:
        self._called("unregister", name, version)
        versions = self._models.get(name, {})
        if version in versions:
            if len(versions) > 1 and self._defaults[name] == version:
                raise _refused(403, f"{name}@{version} is the default version")
            del versions[version]
        if not versions:
            self._models.pop(name, None)
            self._defaults.pop(name, None)
        self.after_call("unregister")

    def predict(self, ref: Ref, request: Request) -> Answer:
        self.before_call("predict")
        self.asked.append((str(ref), self.default(ref.name)))
        one = self._models.get(ref.name, {}).get(str(ref.version))
        if one is None:
            return 404, b'{"code": 404, "message": "there is no such version"}'
        if not one.pids:
            return 503, b'{"code": 503, "message": "it has no worker"}'
        return one.script.answer(request)

    def waiting(self, name: str, version: str) -> list[int]:
        """Give the numbers of waiting requests that descriptions will show."""
        return self._find(name, version).script.pending

    def kill_workers(self, name: str, version: str) -> None:
        """Let the workers of a version be gone, until it is scaled."""
        one = self._find(name, version)
        one.seen, one.script = 0, Script(ready_after=None)

    def _script(self, entry: str) -> Script:
        return self.scripts.get(entry.removesuffix(".mar"), Script())

    def _run_in(self, entry: str) -> Path:
        """Give where the workers of an entry run: an archive is unpacked."""
        path = self._folder / entry
        if not path.is_file():
            return path
        folder = self.temp / "models" / f"{next(self._pids)}"
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        return folder

    def _called(self, method: str, *arguments: str) -> None:
        self.before_call(method)
        self.calls.append((method, *arguments))

    def _find(self, name: str, version: str) -> _Registered:
        one = self._models.get(name, {}).get(version)
        if one is None:
            raise _refused(404, f"{name}@{version} is not registered")
        return one

    def _start(self, one: _Registered) -> None:
        one.script = self._script(one.entry)
        one.seen = 0
        one.pids = [next(self._pids) for _ in range(one.workers)]

    def _described(self, name: str, version: str, one: _Registered) -> ServedVersion:
        script = one.script
        ready = script.ready_after is not None and one.seen >= script.ready_after
        one.seen += 1
        if script.crashes:
            ready = False
            one.pids = [next(self._pids) for _ in range(one.workers)]
        if script.load_error and not ready:
            report = one.folder / "load-error.txt"
            report.write_text(f"{script.load_error}\n", "utf-8")
            ready = False
        taken = {**one.config, **script.ignores}
        return ServedVersion(
            version=version,
            location=one.entry,
            is_default=self._defaults[name] == version,
            workers_ready=one.workers if ready else 0,
            workers=script.ignores.get("minWorkers", one.workers),
            batch_size=taken.get("batchSize", 1),
            max_batch_delay_ms=taken.get("maxBatchDelay", 100),
            response_timeout_s=taken.get("responseTimeout", 120),
            pending_requests=script.pending.pop(0) if script.pending else 0,
            pids=tuple(one.pids),
            device=script.device,
            device_ids=tuple(taken.get("deviceIds", ())),
        )


def _config(entry: Path) -> dict[str, Any]:
    """Read the model config of a registered directory, without any check."""
    manifest = entry / "MAR-INF" / "MANIFEST.json"
    if not manifest.is_file():
        return {}
    name = json.loads(manifest.read_text("utf-8"))["model"].get("configFile")
    return yaml.safe_load((entry / name).read_text("utf-8")) if name else {}


def _refused(status: int, message: str) -> OutsideError:
    return OutsideError(
        f"the server answered {status}, {message}", hint="read the server's log"
    )
