"""Lets the shared handler load a model in a process of its own.

The process has the archive's files and nothing else of the checkout, no variables
that could hold credentials, a home of its own, and a bounded time. It is no sandbox:
what a stranger contributes runs with the rights of whoever validates it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from model_servers.adapters import bundled
from model_servers.adapters.mar import source_archive
from model_servers.core.layout import (
    HandlerFile,
    ManifestFile,
    Member,
    ModelFile,
    SourceArchive,
)
from model_servers.core.probe import (
    Failed,
    Loaded,
    NotChecked,
    ProbeOrder,
    ProbeReport,
    Stage,
)
from model_servers.errors import OutsideError

_TIME_LIMIT_S = 120.0
_MAX_REPORT_BYTES = 1_000_000
_LINKED_BYTES = 8 * 2**20
"""Larger files are linked, as nobody writes into weights."""

_PROGRAM = Path(__file__).with_name("probed_process.py")
_LOOK_FOR_TORCH = (
    "import importlib.util as u; raise SystemExit(not u.find_spec('torch'))"
)
_NO_TORCH = "torch is not installed here; install it, or leave this to --static"
_KEPT = ("LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TZ")


class SubprocessProbe:
    """Probes models with the Python that runs this."""

    def __init__(self, time_limit_s: float = _TIME_LIMIT_S) -> None:
        self._time_limit_s = time_limit_s
        self._running: set[int] = set()
        self._never: NotChecked | None = None
        """Why nothing is started any more."""

    def probe(self, order: ProbeOrder, *, locate: Callable[[str], Path]) -> ProbeReport:
        """Load a model as the shared handler does; nothing of it stays.

        Raises:
            OutsideError: the disk cannot be written, or no process started.
        """
        if self._never is not None:
            return self._never
        try:
            if not self._has_torch:
                return NotChecked(_NO_TORCH)
            with tempfile.TemporaryDirectory(
                prefix="ms-probe-", ignore_cleanup_errors=True
            ) as folder:
                work = Path(folder)
                _lay_out(order, work, locate)
                return self._run(work)
        except OSError as error:
            raise OutsideError(
                f"the model's code cannot be tried: {error}",
                hint="run `ms validate --static`, which copies and starts nothing",
            ) from error

    def stop(self) -> None:
        """End what is running, and start nothing more."""
        self._never = NotChecked("it was interrupted")
        for leader in list(self._running):
            _end(leader)

    @cached_property
    def _has_torch(self) -> bool:
        """Whether there is something to load models with; found out once."""
        done = subprocess.run(
            [sys.executable, "-I", "-c", _LOOK_FOR_TORCH],
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode == 0

    def _run(self, work: Path) -> ProbeReport:
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        process = subprocess.Popen(
            # Isolated: no variables, no user's packages, no working directory.
            [sys.executable, "-I", "-B", str(_PROGRAM), str(work)],
            cwd=work / "model",
            env={**environment, "HOME": str(work / "home"), "TMPDIR": str(work)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._running.add(process.pid)
        if self._never is not None:  # stopped since the first look
            _end(process.pid)
        status: int | None = None
        try:
            status = process.wait(self._time_limit_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._running.discard(process.pid)
            _end(process.pid)
            process.wait()
        return self._report(work / "report.json", status)

    def _report(self, path: Path, status: int | None) -> ProbeReport:
        """Read what the process told, or say how it ended."""
        try:
            told = json.loads(_content(path))
            stage, reason = Stage(told["stage"]), str(told["reason"])
            match told["outcome"]:
                case "loaded":
                    return Loaded()
                case "failed":
                    return Failed(stage, reason)
                case "not checked":
                    return NotChecked(reason)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return NotChecked("its process left no report")
        return self._ended(stage, status)

    def _ended(self, stage: Stage, status: int | None) -> ProbeReport:
        """Say how a process ended that told no outcome."""
        if status == -signal.SIGKILL:
            return NotChecked("its process was killed, perhaps for its memory")
        if status is not None:
            how = f"with status {status}" if status >= 0 else f"by signal {-status}"
            return Failed(stage, f"the process ended {how} during {stage.value}")
        reason = f"it was not done after {self._time_limit_s:.0f} s of {stage.value}"
        is_sure = stage in (Stage.UNPACK, Stage.IMPORT)
        return Failed(stage, reason) if is_sure else NotChecked(reason)


def _content(path: Path) -> bytes:
    """Read a report, unless the model's code has put something else in its place."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        return file.read(_MAX_REPORT_BYTES)


def _end(leader: int) -> None:
    """Kill a process and what it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _lay_out(order: ProbeOrder, work: Path, locate: Callable[[str], Path]) -> None:
    for name in ("model", "home"):
        (work / name).mkdir()
    for member in order.members:
        target = work / "model" / member.path
        target.parent.mkdir(parents=True, exist_ok=True)
        _put(member, target, order, locate)
    facts = {
        "manifest": order.manifest,
        "config": order.config,
        "packages": order.packages,
    }
    (work / "order.json").write_text(json.dumps(facts))


def _put(
    member: Member, target: Path, order: ProbeOrder, locate: Callable[[str], Path]
) -> None:
    match member.source:
        case ModelFile(path):
            source = locate(path).resolve()
            if source.stat().st_size > _LINKED_BYTES:
                target.symlink_to(source)
            else:
                shutil.copyfile(source, target)
        case SourceArchive(paths):
            files = {path: locate(path).read_bytes() for path in paths}
            target.write_bytes(source_archive(member.path, files))
        case HandlerFile(path):
            shutil.copyfile(bundled.handler() / path, target)
        case ManifestFile():
            target.write_text(json.dumps(order.manifest))
