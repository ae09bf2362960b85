"""The process that loads a model: a program, run with a folder as its argument.

Nothing of the tool is imported in it; what loads the model is the shared handler in
the model's own directory. It never runs what the author installs or unpacks.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

_MAX_CHARACTERS = 100_000


_PR_SET_PDEATHSIG = 1
"""Linux: which signal a process gets when the one that waits for it has died."""


def main(work: Path) -> None:
    """Load the model in *work*, and leave a report there."""
    order = json.loads((work / "order.json").read_text())
    directory = work / "model"
    report = _Report(work / "report.json")
    report.tell("unpack", "running")
    sys.modules["model_servers"] = None  # type: ignore[assignment]  # no host has it
    sys.path.insert(0, str(directory))
    try:
        _load(directory, order, report)
    except BaseException as error:  # noqa: BLE001 - an author may call sys.exit
        reason = str(error)
        if type(error).__name__ != "LoadError":  # the handler's own words
            reason = f"{type(error).__name__} in {report.stage}: {reason}"
        why_not = _why_not_checked(error, order, report)
        if why_not is None:
            report.tell(report.stage, "failed", reason)
        else:
            report.tell(report.stage, "not checked", why_not)
    else:
        report.tell(report.stage, "loaded")


class _Report:
    """Tells the process that waits how far this one is."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.stage = ""
        self.installs = False
        """The author has functions that install or unpack something first."""

    def tell(self, stage: str, outcome: str, reason: str = "") -> None:
        self.stage = stage
        told = {"stage": stage, "outcome": outcome, "reason": reason[:_MAX_CHARACTERS]}
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(told))
        partial.replace(self._path)

    def within(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Tell that *stage* has begun whenever *function* is called."""

        def told(*arguments: Any) -> Any:
            self.tell(stage, "running")
            return function(*arguments)

        return told


def _load(directory: Path, order: dict[str, Any], report: _Report) -> None:
    """Do what ``loading.load`` does, but for installing, devices and warming up."""
    from model_servers_handler import loading  # noqa: PLC0415 - the model's own
    from model_servers_handler.devices import Device  # noqa: PLC0415
    from model_servers_handler.files import (  # noqa: PLC0415
        Archive,
        unpack_extra_files,
    )
    from model_servers_handler.functions import import_functions  # noqa: PLC0415
    from model_servers_handler.options import Options  # noqa: PLC0415

    archive = Archive(directory, order["manifest"], order["config"])
    options = Options.parse(archive.config)
    unpack_extra_files(directory, options.extra_files)
    report.tell("import", "running")
    functions = import_functions(archive)
    report.tell("bind", "running")
    for name in functions.given:
        functions.bound(name, options)
    report.installs = any(
        functions.given[name][0] for name in ("install_packages", "unpack_dependencies")
    )
    report.tell("init", "running")
    for name in ("restore_weights", "read_torchscript"):
        setattr(loading, name, report.within("weights", getattr(loading, name)))
    loading.make_model(archive, functions, options, Device())


def _why_not_checked(
    error: BaseException, order: dict[str, Any], report: _Report
) -> str | None:
    """Say what is missing here, if that may be why the model was not loaded."""
    missing = list(_not_installed(order["packages"]))
    if missing and report.stage in ("import", "init"):
        return f"{', '.join(missing)} of its requirements is not installed here"
    if isinstance(error, MemoryError):
        return "there is too little memory here"
    if report.stage == "init" and report.installs:
        return "init_function may need what install_packages would install"
    if report.stage in ("import", "init") and _is_about_gpus(str(error)):
        return "it needs a GPU"
    return None


def _not_installed(packages: list[str]) -> Iterator[str]:
    for name in packages:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            yield name


def _is_about_gpus(text: str) -> bool:
    from torch import cuda  # noqa: PLC0415 - torch is there, and slow

    signs = ("CUDA", "NVIDIA")
    return any(sign in text for sign in signs) and not cuda.is_available()


def _be_the_first_to_go() -> None:
    """End with whoever waits; and where memory is short, end before others."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    _be_the_first_to_go()
    main(Path(sys.argv[1]))
    os._exit(0)  # threads that the model has started are not waited for
