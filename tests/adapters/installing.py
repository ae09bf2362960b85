"""Releases in memory, installed into the model store of a host."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from model_servers.adapters.model_store import LocalModelStore
from model_servers.core.entries import Layout
from model_servers.core.names import Ref
from model_servers.core.release import Archive, Release, ReleasedMember
from model_servers.core.segments import Run, Segment
from model_servers.errors import OutsideError

TINY = Ref.parse("tiny@1.0.0")


BOTH_LAYOUTS = pytest.mark.parametrize(
    "model_store", Layout, indirect=True, ids=lambda layout: layout.value
)


class Blob:
    """A released archive in memory, which keeps a record of what is read of it."""

    def __init__(self, release: Release, data: bytes) -> None:
        self.release = release
        self.data = data
        self.ranges: list[tuple[int, int]] = []
        self.on_read: Callable[[int, int, bytes], bytes] = lambda start, size, data: (
            data
        )

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        self.ranges.append((offset, length))
        yield self.on_read(offset, length, self.data[offset : offset + length])


def install(model_store: LocalModelStore, blob: Blob) -> int:
    """Install a release and give the number of bytes that were reported."""
    moved: list[int] = []
    model_store.install(blob.release, chunks=blob.chunks, on_bytes=moved.append)
    return sum(moved)


def fail_at(count: int) -> Callable[[int, int, bytes], bytes]:
    """Give a reader that fails at its *count*-th call, from 1, and from then on."""
    lock, calls = threading.Lock(), iter(range(1, 10**6))

    def read(start: int, size: int, data: bytes) -> bytes:
        with lock:
            if next(calls) >= count:
                raise OutsideError("the network is gone", hint="wait")
        return data

    return read


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def visible(root: Path) -> list[str]:
    """List what TorchServe can see; it ignores hidden entries."""
    return sorted(
        entry.name for entry in root.iterdir() if not entry.name.startswith(".")
    )


def by_hand(ref: Ref, contents: dict[str, bytes], *, segment: int = 10**9) -> Blob:
    """Release members without an archive's framing, cut into segments."""
    data, members = b"", []
    for path, content in contents.items():
        offset = len(data)
        data += content
        parts = tuple(
            Segment(
                (Run(offset + start, len(content[start : start + segment])),),
                blake3(content[start : start + segment]).hexdigest(),
            )
            for start in range(0, len(content), segment)
        )
        members.append(
            ReleasedMember(
                path=path,
                offset=offset,
                length=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                segments=parts,
            )
        )
    archive = Archive(
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        members=tuple(members),
        framing_blake3=blake3().hexdigest(),
    )
    release = Release(
        ref=ref,
        archive=archive,
        inputs_digest="0" * 64,
        git_commit=None,
        toolchain={},
        resources={},
    )
    return Blob(release, data)
