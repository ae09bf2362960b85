"""What the system shows of a host beside TorchServe's answers; judges nothing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path

import urllib3

from model_servers.adapters import disk, frontends
from model_servers.core.doctor import Folder
from model_servers.core.frontend import Frontend

_TIMEOUT_S = 5.0


class HostMachine:
    """The machine of one model store."""

    def __init__(
        self, model_store: Path, *, management: str, python: str, config: str | None
    ) -> None:
        """Take where TorchServe is, the Python of its workers, and its config."""
        self._root = model_store
        self._python = python
        self._config = config
        self._management = management.rstrip("/")

    def folder(self) -> Folder:
        """Look at the model store, without making it."""
        try:
            with tempfile.TemporaryFile(dir=self._root, prefix=".ms-"):
                free_bytes = shutil.disk_usage(self._root).free
        except OSError:
            return Folder(path=str(self._root), free_bytes=None)
        return Folder(path=str(self._root), free_bytes=free_bytes)

    def owner(self) -> str:
        """Name the user whose model store it is, or who could make one."""
        return disk.owner_of(self._root)

    def user(self) -> str:
        """Name the user who runs this."""
        return disk.user_of(os.geteuid())

    def lock_holder(self) -> str:
        """Name the process that is at work on the model store."""
        try:
            with (self._root / ".model-servers" / "lock").open("r+") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return lock.read().strip() or "of another user"
        except OSError:
            return ""
        return ""

    def python_error(self) -> str:
        """Say why the Python of the workers cannot be run; empty if it can."""
        is_there = shutil.which(self._python) is not None
        return "" if is_there else f"{self._python} is no program that can be run"

    def config_error(self) -> str:
        """Say why TorchServe's config cannot be read; empty if it can."""
        if self._config is None:
            return ""
        try:
            Path(self._config).read_bytes()
        except OSError as error:
            return f"{self._config} cannot be read: {error.strerror}"
        return ""

    def frontend(self) -> Frontend | None:
        """Give the TorchServe that registers from the model store, if it is seen."""
        return frontends.serving_from(self._root)

    def server_version(self) -> str:
        """Ask TorchServe for its version, which needs no token."""
        try:
            with urllib3.PoolManager(retries=False, timeout=_TIMEOUT_S) as http:
                answer = http.request("OPTIONS", f"{self._management}/")
                return str(json.loads(answer.data)["info"]["version"])
        except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError):
            return ""
