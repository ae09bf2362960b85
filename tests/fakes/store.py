"""A store in memory that can be told to fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from model_servers.errors import OutsideError
from model_servers.ports import OnBytes


class MemoryStore:
    """A store with the port's guarantees, which keeps a record of its calls."""

    def __init__(self, *, fail_at: int | None = None) -> None:
        """Make an empty store.

        Args:
            fail_at: the call, counted from 1, that raises instead of doing
                anything; it counts all calls.
        """
        self.address = "memory://store"
        self.objects: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        """Every call: the method and the key or prefix it got."""

        self.fail_at = fail_at
        self._lock = threading.Lock()

    @property
    def written(self) -> list[str]:
        """The keys that were to be written, in order."""
        return [key for method, key in self.calls if method in {"create", "upload"}]

    def keys(self, prefix: str) -> Iterator[str]:
        self._called("keys", prefix)
        yield from sorted(key for key in self.objects if key.startswith(prefix))

    def read(self, key: str) -> bytes | None:
        self._called("read", key)
        return self.objects.get(key)

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        self._called("read_range", key)
        if key not in self.objects:
            raise OutsideError(f"{self.address}/{key} is not there", hint="publish it")
        data = self.objects[key][offset : offset + length]
        if len(data) != length:
            raise OutsideError(
                f"{self.address}/{key} gave {len(data)} of {length} bytes",
                hint="write it again",
            )
        return data

    def create(self, key: str, body: bytes) -> bool:
        self._called("create", key)
        with self._lock:
            if key in self.objects:
                return False
            self.objects[key] = body
            return True

    def upload(self, key: str, source: Path, *, on_bytes: OnBytes) -> None:
        self._called("upload", key)
        if key not in self.objects:
            self.objects[key] = source.read_bytes()
            on_bytes(len(self.objects[key]))

    def _called(self, method: str, key: str) -> None:
        self.calls.append((method, key))
        if len(self.calls) == self.fail_at:
            raise OutsideError(
                f"the store {self.address} was told to fail at call {self.fail_at}",
                hint="run the command again",
            )
