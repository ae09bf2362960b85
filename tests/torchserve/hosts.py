"""A host for bad nights: a real TorchServe, its store, clients, and ``ms sync``."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import urllib3

from model_servers.adapters.frontends import serving_from
from model_servers.adapters.model_store import LocalModelStore
from model_servers.adapters.releases import read_release
from model_servers.adapters.torchserve_api import TorchServeApi
from model_servers.adapters.torchserve_process import torchserve
from model_servers.cli.main import main
from model_servers.core.entries import Layout, ref_of
from model_servers.core.names import Ref
from zoo import checkpoint_of, make_model

ROOT = Path(__file__).parents[2]
LIMIT_S = 120.0
KILLED = -signal.SIGKILL
HOME = ".model-servers"

_HANDLER = """\
import time

from base_handler import handler_factory


def init_function():
    def answer(batch):
        time.sleep(0.02)  # so that requests are at work when versions change
        return [[one * {number} for one in sample] for sample in batch]

    return answer


handler = handler_factory(init_function=init_function)
"""

_CHILD = """\
import os, resource, signal, sys
from pathlib import Path
from model_servers.cli.main import main
from model_servers.journeys.host.acting import Acting

what, at, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
counts = {"event": 0, "action": 0}
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"}

def reached(kind):
    counts[kind] += 1
    if counts[kind] != at:
        return
    if what == f"kill-at-{kind}":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == f"wait-at-{kind}":
        print("waits", flush=True)
        sys.stdin.readline()
    if what == f"full-at-{kind}":
        # From here on no file takes a byte.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

def is_ours(event, arguments):
    if event == "http.client.send":
        return True
    if event == "open":
        return folder in str(arguments[0]) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    return event in CHANGES and folder in str(arguments[:2])

def audit(event, arguments):
    if is_ours(event, arguments):
        reached("event")

act = Acting.act
def counted(self, action, releases, watcher):
    reached("action")
    act(self, action, releases, watcher)
    reached("action")

Acting.act = counted
sys.addaudithook(audit)
status = main(sys.argv[4:])
print(counts["event"], counts["action"])
sys.exit(status)
"""


@dataclass(frozen=True)
class Answered:
    """One answer to a client."""

    status: int
    version: str
    """The version that must have answered."""

    body: bytes

    asked_s: float
    told_s: float


class Clients:
    """Ask for the default of a model again and again, each from its own thread."""

    def __init__(self, url: str, count: int = 2) -> None:
        self._url = url
        self._ended = threading.Event()
        self.answers: list[Answered] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def failed(self) -> list[Answered]:
        return [one for one in self.answers if one.status != 200]

    def _ask(self) -> None:
        headers = {"Content-Type": "application/json"}
        with urllib3.PoolManager(retries=False, timeout=LIMIT_S) as http:
            while not self._ended.is_set():
                asked_s = time.monotonic()
                try:
                    found = http.request("POST", self._url, body="[1]", headers=headers)
                    status, body = found.status, found.data
                except urllib3.exceptions.HTTPError as error:
                    status, body = 0, str(error).encode()
                version = f"1.{body.decode().strip('[]').removesuffix('.0')}"
                self.answers.append(
                    Answered(status, version, body, asked_s, time.monotonic())
                )


@dataclass
class Host:
    """One host: its folder, its TorchServe, and what ``ms sync`` is told."""

    folder: Path
    name: str = "host"
    model: str = "cat"
    store: str = ""
    flags: Sequence[str] = ()
    layout: Layout = Layout.DIR
    api: TorchServeApi = field(init=False)
    torchserve: dict[str, str] = field(init=False)
    _running: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.store = self.store or (self.folder / "store").as_uri()
        self.model_store.mkdir(parents=True)
        self.config.write_text("# of the operator\n")

    @property
    def model_store(self) -> Path:
        return self.folder / self.name / "model_store"

    @property
    def config(self) -> Path:
        return self.folder / self.name / "config.properties"

    @property
    def profile(self) -> Path:
        return self.folder / self.name / "sync.yaml"

    @property
    def url(self) -> str:
        return f"{self.torchserve['inference']}/predictions/{self.model}"

    def start(self) -> None:
        """Start TorchServe into what was served."""
        boot = self.model_store / HOME / "host" / "config.properties"
        lines = boot.read_text().splitlines() if boot.exists() else []
        settings: dict[str, object] = {"number_of_gpu": 0}
        settings |= dict(line.split("=", 1) for line in lines if "=" in line)
        addresses = self._running.enter_context(
            torchserve(
                self.model_store,
                logs=self.folder / self.name / "logs",
                settings=settings,
            )
        )
        self.torchserve = {
            "management": addresses.management,
            "inference": addresses.inference,
            "metrics": addresses.metrics,
            "config": str(self.config),
        }
        self.api = TorchServeApi(
            management=addresses.management, inference=addresses.inference
        )

    def kill(self) -> None:
        """Kill TorchServe and its workers."""
        running = serving_from(self.model_store)
        assert running is not None
        os.killpg(running.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        self._running.close()

    def wants(self, version: str | Mapping[str, object]) -> None:
        """Write the profile: the version of the model, or all that it says of it."""
        document = {
            "schema": 1,
            "store": self.store,
            "model_store": str(self.model_store),
            "layout": self.layout.value,
            "torchserve": self.torchserve,
            "models": {self.model: version},
            # Longer than any request here takes.
            "policy": {"drain_s": 1},
        }
        self.profile.write_text(json.dumps(document))

    def sync(self, command: str = "apply", *arguments: str) -> int:
        """Run ``ms sync`` in this process, and give its status."""
        return main(["sync", *self._arguments(command, *arguments)])

    def child(self, what: str, at: int) -> subprocess.Popen[str]:
        """Start ``ms sync apply`` in a process of its own, to which something happens.

        Args:
            what: ``kill``, ``wait`` or ``full``, and ``-at-action`` or ``-at-event``.
            at: the number, from 1, of the event, or of the beginning or end of an
                action.
        """
        program = [sys.executable, "-c", _CHILD, what, str(at), str(self.model_store)]
        return subprocess.Popen(
            [*program, "sync", *self._arguments("apply")],
            env={**os.environ, "PYTHONPATH": str(ROOT / "tools")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _arguments(self, command: str, *arguments: str) -> list[str]:
        consent = ["--yes"] if command == "apply" else []
        where = ["--profile", str(self.profile), *self.flags]
        return [command, *arguments, *consent, *where]

    def forget(self, version: str) -> None:
        """Take a version off the disk, so that it must come again."""
        store = LocalModelStore(self.model_store, python=sys.executable)
        store.forget(Ref.parse(f"{self.model}@{version}"))

    def served(self) -> list[tuple[str, bool]]:
        """List the versions with whether each is the default."""
        return [(one.version, one.is_default) for one in self.api.describe(self.model)]

    def await_default(self) -> None:
        """Wait until a default answers, after a start."""
        deadline = time.monotonic() + LIMIT_S
        while not any(
            one.is_default and one.is_ready for one in self.api.describe(self.model)
        ):
            assert time.monotonic() < deadline, self.served()
            time.sleep(0.05)


@contextmanager
def running(host: Host, *, wants: str | Mapping[str, object]) -> Iterator[Host]:
    """Have a host serve a version, for as long as the block takes."""
    host.start()
    try:
        host.wants(wants)
        assert host.sync() == 0
        yield host
    finally:
        host.stop()


def publish(
    folder: Path, *numbers: int, name: str = "cat", flags: Sequence[str] = ()
) -> None:
    """Release versions 1.N of a model that gives N times what it is asked."""
    for number in numbers:
        registry = folder / f"registry-{number}"
        case = {
            "schema": 1,
            "request": {"content_type": "application/json", "json": [1, 2]},
            "expect": {"json": [number, 2 * number]},
        }
        files = {
            "handler_model.py": _HANDLER.format(number=number),
            "checkpoint.pt": checkpoint_of(200_000 + number),
            "golden/case.yaml": json.dumps(case),
        }
        make_model(registry, name, version=f"1.{number}", files=files)
        flags = flags or ["--store", (folder / "store").as_uri()]
        assert main(["publish", "--registry", str(registry), *flags]) == 0


def unverified(model_store: Path) -> list[str]:
    """Name what can be seen in a model store and is not what was released."""
    wrong = []
    for entry in model_store.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.suffix == ".mar":
            wrong += [str(entry)] if not _is_released(entry) else []
            continue
        work = entry.resolve()
        sha256 = work.name.partition("-")[0]
        tree = model_store / HOME / "trees" / sha256
        record = tree.with_suffix(".json")
        release = read_release(record.read_bytes(), shown_as=str(record))
        if (release.archive.sha256, release.ref.entry) != (sha256, entry.name):
            wrong.append(f"{entry}: {release.ref}")
        wrong += [
            str(file)
            for member in release.archive.members
            for file in (tree / member.path, work / member.path)
            if hashlib.sha256(file.read_bytes()).hexdigest() != member.sha256
        ]
    return wrong


def _is_released(archive: Path) -> bool:
    """Say whether an archive has the bytes of a release on this host."""
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    record = archive.parent / HOME / "trees" / f"{sha256}.json"
    return read_release(record.read_bytes(), shown_as="").ref == ref_of(archive.name)
