"""Simulates GPUs below the real pynvml: a shared library with NVML's C ABI."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pynvml
import pytest

_SOURCE = Path(__file__).with_name("nvml_stub.c")
_SONAME = "libnvidia-ml.so.1"
"""The loader finds a library that is loaded by this name, wherever it came from."""


class Simulated:
    """GPUs that a test says there are."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def shows(
        self,
        gpus: Iterable[tuple[int, int]],
        *,
        processes: Iterable[tuple[int, int, int]] = (),
        mig: Iterable[int] = (),
        lost: Iterable[int] = (),
        dumb: Iterable[int] = (),
        init: int = 0,
    ) -> None:
        """Say what the driver shows from now on.

        Args:
            gpus: total and used MiB of each.
            processes: GPU, process id and used MiB of each.
            mig: GPUs that are cut into instances.
            lost: GPUs that have fallen off the bus.
            dumb: GPUs that do not tell their memory.
            init: what initialising answers.
        """
        cut = set(mig)
        lines = [f"init {init}"]
        lines += [
            f"gpu {total} {used} {int(i in cut)}"
            for i, (total, used) in enumerate(gpus)
        ]
        lines += [f"process {gpu} {pid} {used}" for gpu, pid, used in processes]
        lines += [f"lost {gpu}" for gpu in lost] + [f"dumb {gpu}" for gpu in dumb]
        self._file.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The stub, compiled, and loaded under the name of the real library."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler for the library that simulates GPUs")
    library = tmp_path_factory.mktemp("nvml") / _SONAME
    subprocess.run(
        [
            *(compiler, "-shared", "-fPIC", "-Wall", "-Werror"),
            *(f"-Wl,-soname,{_SONAME}", "-o", str(library), str(_SOURCE)),
        ],
        check=True,
    )
    return ctypes.CDLL(str(library))


@pytest.fixture
def gpus(
    nvml_library: ctypes.CDLL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Simulated:
    """Simulated GPUs, none at first."""
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setenv("NVML_STUB", str(tmp_path / "gpus.txt"))
    simulated = Simulated(tmp_path / "gpus.txt")
    simulated.shows([])
    return simulated
