"""An archive made of what its store holds is the archive, whatever changed in it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from blake3 import blake3
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fakes.store import MemoryStore
from model_servers.adapters.segment_digests import SegmentDigests
from model_servers.core.names import Ref, Version
from model_servers.core.objects import InMemory
from model_servers.core.release import Archive, Release, ReleasedMember
from model_servers.core.reuse import PART_MIN_BYTES
from model_servers.core.segments import Run, cut
from model_servers.errors import OutsideError
from model_servers.journeys.reuse import parts_of

SIZES = (100, 20_000, 700_000, 3_000_000, 6_000_000)
HEADERS = (0, 64, 3_000, 70_000)


@dataclass(frozen=True)
class Tensor:
    """Bytes that a seed gives, and the header before them."""

    size: int
    seed: int
    header: int
    header_seed: int


TENSORS = st.builds(
    Tensor,
    size=st.sampled_from(SIZES),
    seed=st.integers(0, 3),
    header=st.sampled_from(HEADERS),
    header_seed=st.integers(0, 1),
)
CHECKPOINTS = st.lists(TENSORS, min_size=1, max_size=7)


@st.composite
def tuned(draw: st.DrawFn) -> tuple[list[Tensor], list[Tensor]]:
    """Draw a checkpoint and another one that has some of its tensors, in any order."""
    before = draw(CHECKPOINTS)
    kept = draw(st.lists(st.sampled_from(before), max_size=6))
    same = draw(st.integers(0, len(before)))
    return before, [*before[:same], *kept, *draw(CHECKPOINTS)]


class Known:
    """The releases of a store."""

    def __init__(self, *releases: Release) -> None:
        self._releases = {one.ref: one for one in releases}

    def versions(self, name: str) -> list[Version]:
        return sorted(ref.version for ref in self._releases)

    def find(self, ref: Ref) -> Release | None:
        return self._releases.get(ref)


def content_of(tensors: Sequence[Tensor], start: bytes) -> tuple[bytes, list[Run]]:
    """Give an archive of one checkpoint, and where it has tensors."""
    data, places = [start], []
    end = len(start)
    for one in tensors:
        data.append(noise(one.header, one.header_seed))
        data.append(noise(one.size, one.seed))
        places.append(Run(end + one.header, one.size))
        end += one.header + one.size
    return b"".join([*data, b"directory"]), places


@cache
def noise(count: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(count)


def release_of(text: str, data: bytes, tensors: Sequence[Run], start: int) -> Release:
    weights = data[start:]
    digests = SegmentDigests(cut(len(weights), [Run(o - start, n) for o, n in tensors]))
    digests.update(weights)
    member = ReleasedMember(
        path="model.pt",
        offset=start,
        length=len(weights),
        sha256=sha256(weights),
        segments=tuple(one.moved(start) for one in digests.segments()),
    )
    return Release(
        ref=Ref.parse(text),
        archive=Archive(
            size_bytes=len(data),
            sha256=sha256(data),
            members=(member,),
            framing_blake3=blake3(data[:start]).hexdigest(),
        ),
        inputs_digest="1" * 64,
        git_commit=None,
        toolchain={},
        resources={},
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@given(tuned(), st.sampled_from([b"", b"head", b"Head", b"a longer head"]))
@settings(max_examples=40, deadline=None, phases=[Phase.reuse, Phase.generate])
def test_parts_of_earlier_archives_make_the_new_one(
    checkpoints: tuple[list[Tensor], list[Tensor]], start: bytes
) -> None:
    before, tensors = content_of(checkpoints[0], b"head")
    old = release_of("cat@1.0.0", before, tensors, 4)
    data, tensors = content_of(checkpoints[1], start)
    new = release_of("cat@1.1.0", data, tensors, len(start))
    store = MemoryStore()
    store.objects[old.key] = before

    content = InMemory(data)
    parts = parts_of(new, content, store=store, releases=Known(old))
    store.compose(new.key, content, parts, on_bytes=lambda count: None)

    assert sha256(store.objects[new.key]) == new.archive.sha256
    assert all(part.length >= PART_MIN_BYTES for part in parts[:-1])


def in_order(*seeds: int, header_seed: int = 0) -> list[Tensor]:
    return [Tensor(3_000_000, seed, 64, header_seed) for seed in seeds]


def moved(
    before: Sequence[Tensor], after: Sequence[Tensor], store: MemoryStore
) -> tuple[int, int]:
    """Publish one checkpoint after the other; give what was sent and what copied."""
    releases = []
    for text, tensors in (("cat@1.0.0", before), ("cat@1.1.0", after)):
        data, places = content_of(tensors, b"head")
        release = release_of(text, data, places, 4)
        known = Known(*releases)
        parts = parts_of(release, InMemory(data), store=store, releases=known)
        store.compose(release.key, InMemory(data), parts, on_bytes=lambda count: None)
        assert sha256(store.objects[release.key]) == release.archive.sha256
        releases.append(release)
    how = store.moved[releases[-1].key]
    return how.sent_bytes, how.copied_bytes


def test_small_tensors_are_copied_with_the_same_headers_between_them() -> None:
    after = [*in_order(*range(7)), *in_order(9, header_seed=1)]

    sent, copied = moved(in_order(*range(8)), after, MemoryStore())

    assert copied == len(b"head") + 7 * 3_000_064
    assert sent == 3_000_064 + len(b"directory")


def test_headers_that_changed_are_not_copied() -> None:
    after = in_order(*range(7), 9, header_seed=1)

    _, copied = moved(in_order(*range(8)), after, MemoryStore())

    assert copied == 0


def test_an_archive_that_is_gone_lends_nothing() -> None:
    class Forgetful(MemoryStore):
        def chunks(self, key: str, *arguments: Any, **more: Any) -> Iterator[bytes]:
            raise OutsideError(f"{key} is gone", hint="restore it")

    after = [*in_order(*range(7)), *in_order(9, header_seed=1)]

    _, copied = moved(in_order(*range(8)), after, Forgetful())

    assert copied == 0
