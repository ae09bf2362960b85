"""Installs a model's requirements beside it: once per requirements and Python.

TorchServe would do it with every registration, on the threads that answer
predictions, and hang for ever once pip prints more than 64 KiB (0.12,
ModelManager.java:360-368).
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from functools import cached_property
from pathlib import Path

from model_servers.core.pins import normalised
from model_servers.errors import OutsideError

_TIME_LIMIT_S = 1800
_RESOLVING_LIMIT_S = 600
_IDENTITY = (
    "import sys, sysconfig;"
    "print(sys.implementation.cache_tag, sysconfig.get_platform())"
)


class Requirements:
    """Installed requirements, in one folder per digest, for one Python."""

    def __init__(self, folder: Path, python: str) -> None:
        self._folder = folder
        self._python = python

    def installed(self, requirements: Path) -> Path:
        """Give the folder with the packages of a requirements file.

        A folder under its digest is complete; interrupted, pip leaves only a
        ``.partial`` that the next run replaces.

        Raises:
            OutsideError: pip failed or took too long; its output is kept.
        """
        target = self._target(hashlib.sha256(requirements.read_bytes()).hexdigest())
        if not target.is_dir():
            partial = target.with_name(f".partial-{target.name}")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            self._pip(requirements, partial, log=target.with_suffix(".log"))
            partial.rename(target)
        return target

    def has(self, sha256: str) -> bool:
        """Say whether those of the file with this digest are installed."""
        return self._target(sha256).is_dir()

    def _target(self, sha256: str) -> Path:
        text = self._identity + b"\0" + sha256.encode()
        return self._folder / hashlib.sha256(text).hexdigest()

    @cached_property
    def _identity(self) -> bytes:
        """Tell Pythons apart whose packages are not interchangeable."""
        try:
            done = subprocess.run(
                [self._python, "-I", "-c", _IDENTITY], check=True, capture_output=True
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise OutsideError(
                f"the Python {self._python} does not run: {error}",
                hint="correct torchserve.python in the host profile",
            ) from error
        return done.stdout.strip()

    def _pip(self, requirements: Path, target: Path, *, log: Path) -> None:
        command = [self._python, "-I", "-m", "pip", "install", "--no-input"]
        command += ["--disable-pip-version-check", "--target", str(target)]
        command += ["--requirement", str(requirements)]
        with log.open("wb") as output:
            try:
                done = subprocess.run(
                    command,
                    check=False,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=_TIME_LIMIT_S,
                )
            except subprocess.TimeoutExpired as error:
                raise OutsideError(
                    f"pip took more than {_TIME_LIMIT_S} s", hint=f"read {log}"
                ) from error
        if done.returncode:
            raise OutsideError(
                f"pip cannot install the requirements: {_reason(log)}",
                hint=f"read {log}",
            )


def resolved(requirements: Path, *, python: str) -> dict[str, str]:
    """Ask pip which versions it would install for a requirements file.

    Nothing is installed, and what is installed already does not count.

    Raises:
        OutsideError: pip finds none that fit, or took too long.
    """
    command = [python, "-I", "-m", "pip", "install", "--no-input", "--dry-run"]
    command += ["--disable-pip-version-check", "--quiet", "--ignore-installed"]
    command += ["--report", "-", "--requirement", requirements.name]
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=requirements.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RESOLVING_LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise OutsideError(
            f"pip took more than {_RESOLVING_LIMIT_S} s to find versions",
            hint="pin the packages that have many versions yourself",
        ) from error
    if done.returncode:
        raise OutsideError(
            f"pip finds no versions for {requirements}:\n{done.stderr.strip()}",
            hint="correct the requirement, or run it again",
        )
    found = (one["metadata"] for one in json.loads(done.stdout)["install"])
    return {normalised(one["name"]): one["version"] for one in found}


def _reason(log: Path) -> str:
    """Give pip's own error line, or the last one it printed."""
    lines = log.read_text(errors="replace").strip().splitlines() or ["no output"]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines)[-1].removeprefix("ERROR:").strip()
