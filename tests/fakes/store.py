"""A store in memory that can be told to fail, and to be worse than it should be."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence

from model_servers.core.objects import (
    Copied,
    Leftover,
    Movable,
    Moved,
    Part,
    Sent,
    Stored,
)
from model_servers.core.reuse import whole_file
from model_servers.errors import OutsideError
from model_servers.ports import Content, OnBytes

_CHUNK_BYTES = 50_000
_WRITES = {"create", "swap", "upload", "compose"}


class MemoryStore:
    """A store with the port's guarantees, which keeps a record of its calls."""

    def __init__(
        self,
        *,
        fail_at: int | None = None,
        cannot_copy: str = "",
        overwrites: bool = False,
        swaps_blindly: bool = False,
    ) -> None:
        """Make an empty store.

        Args:
            fail_at: the call, counted from 1, that raises instead of doing
                anything; it counts all calls.
            cannot_copy: why no part is copied.
            overwrites: it ignores that an object is there.
            swaps_blindly: it ignores what a swap expects.
        """
        self.address = "memory://store"
        self.objects: dict[str, bytes] = {}
        self.calls: list[tuple[str, str]] = []
        """Every call: the method and the key or prefix it got."""

        self.moved: dict[str, Moved] = {}
        """How each composed object came here."""

        self.left: list[Leftover] = []
        self.fail_at = fail_at
        self.fails: Callable[[str, str], bool] = lambda method, key: False
        """Says of a method and the key or prefix it gets whether it raises."""

        self.before_read: Callable[[str], None] = lambda key: None
        """Called before bytes of an object are read, by whoever reads them."""

        self._cannot_copy = cannot_copy
        self._overwrites = overwrites
        self._swaps_blindly = swaps_blindly
        self._lock = threading.Lock()

    @property
    def written(self) -> list[str]:
        """The keys that were to be written, in order, without the index."""
        return [
            key
            for method, key in self.calls
            if method in _WRITES and key != "index.json"
        ]

    def keys(self, prefix: str) -> Iterator[str]:
        self._called("keys", prefix)
        yield from sorted(key for key in self.objects if key.startswith(prefix))

    def stat(self, key: str) -> Stored | None:
        self._called("stat", key)
        data = self.objects.get(key)
        return None if data is None else Stored(len(data), _token(data))

    def read(self, key: str) -> bytes | None:
        self._called("read", key)
        return self.objects.get(key)

    def read_movable(self, key: str) -> Movable | None:
        self._called("read_movable", key)
        data = self.objects.get(key)
        return None if data is None else Movable(data, _token(data))

    def read_range(
        self, key: str, offset: int, length: int, *, token: str | None = None
    ) -> bytes:
        return b"".join(self.chunks(key, offset, length, token=token))

    def chunks(
        self, key: str, offset: int, length: int, *, token: str | None = None
    ) -> Iterator[bytes]:
        self._called("chunks", key)
        self.before_read(key)
        if key not in self.objects:
            raise OutsideError(f"{self.address}/{key} is not there", hint="publish it")
        if token not in (None, _token(self.objects[key])):
            raise OutsideError(f"{self.address}/{key} changed", hint="read it again")
        data = self.objects[key][offset : offset + length]
        if len(data) != length:
            raise OutsideError(
                f"{self.address}/{key} gave {len(data)} of {length} bytes",
                hint="write it again",
            )
        for start in range(0, length, _CHUNK_BYTES):
            yield data[start : start + _CHUNK_BYTES]

    def create(self, key: str, body: bytes) -> bool:
        self._called("create", key)
        with self._lock:
            if key in self.objects and not self._overwrites:
                return False
            self.objects[key] = body
            return True

    def swap(self, key: str, body: bytes, expected: str | None) -> bool:
        self._called("swap", key)
        with self._lock:
            data = self.objects.get(key)
            found = None if data is None else _token(data)
            if found != expected and not self._swaps_blindly:
                return False
            self.objects[key] = body
            return True

    def upload(self, key: str, content: Content, *, on_bytes: OnBytes) -> None:
        parts = whole_file(content.size_bytes)
        self.compose(key, content, parts, on_bytes=on_bytes)

    def compose(
        self, key: str, content: Content, parts: Sequence[Part], *, on_bytes: OnBytes
    ) -> Moved:
        self._called("compose", key)
        if key in self.objects:
            return Moved()
        on_bytes(content.size_bytes)
        if self._cannot_copy and any(isinstance(part, Copied) for part in parts):
            data = content.read(0, content.size_bytes)
            self.objects[key] = data
            moved = Moved(sent_bytes=len(data), why_not_copied=self._cannot_copy)
        else:
            pieces = [self._bytes_of(part, content) for part in parts]
            self.objects[key] = b"".join(pieces)
            moved = Moved(
                sent_bytes=sum(part.length for part in parts if isinstance(part, Sent)),
                copied_bytes=sum(
                    part.length for part in parts if isinstance(part, Copied)
                ),
            )
        self.moved[key] = moved
        return moved

    @property
    def comparison(self) -> str:
        return "the bytes are compared"

    def takes_damaged(self, key: str, body: bytes) -> bool:
        self._called("takes_damaged", key)
        return False

    def delete(self, key: str) -> None:
        self._called("delete", key)
        self.objects.pop(key, None)

    def leftovers(self) -> list[Leftover]:
        self._called("leftovers", "")
        return list(self.left)

    def abort(self, leftover: Leftover) -> None:
        self._called("abort", leftover.key)
        self.left = [one for one in self.left if one != leftover]

    def _bytes_of(self, part: Part, content: Content) -> bytes:
        match part:
            case Sent(offset, length):
                return content.read(offset, length)
            case Copied(key, offset, length):
                return self.objects[key][offset : offset + length]

    def _called(self, method: str, key: str) -> None:
        with self._lock:
            self.calls.append((method, key))
            fails = len(self.calls) == self.fail_at
        if fails:
            raise OutsideError(
                f"the store {self.address} was told to fail at call {self.fail_at}",
                hint="run the command again",
            )
        if self.fails(method, key):
            raise OutsideError(
                f"the store {self.address} answered InternalError",
                hint="`ms store doctor` tells what this store can do",
            )


def _token(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
