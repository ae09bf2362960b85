"""What a host remembers, in files of its model store.

::

    <model_store>/.model-servers/host/
        memory.json         pins, channels seen, what is served, what failed last
        history.jsonl       what was done, a line each
        config.properties   what TorchServe is started with
        ready               there while every wanted model answers
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from model_servers.adapters import disk
from model_servers.adapters.entries import visible_layout
from model_servers.adapters.replacing import replacing
from model_servers.core.boot import boot_config
from model_servers.core.entries import Layout
from model_servers.core.memory import Event, Memory
from model_servers.core.names import Ref
from model_servers.errors import OutsideError

_FOLDER = Path(".model-servers", "host")


class FileHostMemory:
    """The memory of the host whose model store is one folder."""

    def __init__(
        self,
        model_store: Path,
        *,
        config: Path | None,
        layout: Layout = Layout.DIR,
    ) -> None:
        """Take the model store, and TorchServe's config if there is one."""
        self._model_store = model_store
        self._layout = layout
        self._folder = model_store / _FOLDER
        self._config = config

    def read(self) -> Memory:
        """Give what is remembered; nothing on a new host."""
        path = self._folder / "memory.json"
        try:
            return Memory.from_bytes(path.read_bytes())
        except FileNotFoundError:
            return Memory()
        except OSError as error:
            raise disk.failure("the memory of this host", error) from error
        except ValueError as error:
            raise OutsideError(
                f"{path} is damaged: {error}",
                hint="remove it; pins and the generations of channels are then gone",
            ) from error

    def write(self, memory: Memory) -> None:
        """Remember *memory*, and have TorchServe start with what it serves.

        Interrupted between the two, the next write makes them agree again.
        """
        self._replace("memory.json", memory.to_bytes())
        self.write_boot(memory.served)

    def write_boot(self, served: Mapping[str, tuple[str, ...]]) -> None:
        """Have TorchServe start with these versions, the defaults first."""
        base = self._base()
        if base is not None:
            config = boot_config(base, served, ending=self._ending)
            self._replace("config.properties", config.encode("latin-1", "replace"))

    def events(self) -> list[Event]:
        """Give what was done, oldest first; a line that is damaged is passed over."""
        text = ""
        with disk.failures("the history of this host"), suppress(FileNotFoundError):
            text = (self._folder / "history.jsonl").read_text("utf-8", "replace")
        events = []
        for line in text.splitlines():
            with suppress(ValueError):
                events.append(Event.from_line(line))
        return events

    def add(self, event: Event) -> None:
        """Add to what was done."""
        with disk.failures("the history of this host"):
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "history.jsonl").open("ab") as stream:
                # An interrupted line before this one must not spoil it.
                cut = stream.tell() and not self._ends_well()
                stream.write((b"\n" if cut else b"") + f"{event.to_line()}\n".encode())
                stream.flush()
                os.fsync(stream.fileno())

    def show_ready(self, report: str | None) -> None:
        """Write the readiness file, or take it away."""
        if report is not None:
            self._replace("ready", report.encode())
            return
        with disk.failures("the readiness file"):
            (self._folder / "ready").unlink(missing_ok=True)

    def _ending(self, name: str, version: str) -> str:
        """Say what the entry of a version ends in that is there."""
        with suppress(ValueError):
            ref = Ref.parse(f"{name}@{version}")
            return visible_layout(self._model_store, ref, self._layout).ending
        return ""

    def _ends_well(self) -> bool:
        with (self._folder / "history.jsonl").open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read() == b"\n"

    def _base(self) -> str | None:
        if self._config is None:
            return None
        try:
            return self._config.read_text("latin-1")
        except OSError as error:
            raise OutsideError(
                f"TorchServe's config {self._config} cannot be read: {error.strerror}",
                hint=f"ms sync install --print config.properties > {self._config}; or "
                "correct torchserve.config in the host profile",
            ) from error

    def _replace(self, name: str, content: bytes) -> None:
        with replacing(self._folder / name) as file:
            disk.write(file, content)
            os.fsync(file)
