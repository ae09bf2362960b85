"""Interrupted fetches and damaged archives: nothing that is wrong is kept."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.shops import HINT, KIB, LAYER_BYTES, Shop
from fakes.store import MemoryStore
from model_servers.adapters import delta as module
from model_servers.adapters.file_content import FileContent
from model_servers.core import delta
from model_servers.errors import OutsideError
from zoo import HANDLER


def test_a_damaged_archive_is_repaired_with_the_segments_it_lacks(
    shop: Shop, weights: bytes
) -> None:
    shop.publish("1.0", weights=weights)
    path = shop.fetch().path
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        stream.write(b"rotten")

    fetched = shop.fetch()

    assert 0 < fetched.fetched_bytes <= LAYER_BYTES
    assert shop.is_whole("1.0")


@pytest.mark.parametrize("lie", [b"", b"PK not an archive", os.urandom(10_000_000)])
def test_an_archive_that_is_not_what_its_name_says_gives_nothing_wrong(
    shop: Shop, weights: bytes, lie: bytes
) -> None:
    shop.publish("1.0", weights=weights)
    shop.publish("1.1", weights=weights, handler=f"# faster\n{HANDLER}")
    shop.folder.mkdir()
    (shop.folder / "cat-1.0.mar").write_bytes(lie)
    (shop.folder / "cat-9.9.mar").write_bytes(lie)
    (shop.folder / "cat-x.mar").write_bytes(lie)

    fetched = shop.fetch("cat@1.1")

    assert fetched.fetched_bytes == fetched.release.archive.size_bytes
    assert shop.is_whole("1.1")


# Wrong bytes, and none


class Damaged(MemoryStore):
    """A store of which one byte of each archive is wrong."""

    damaged_at: int | None = None

    def chunks(
        self, key: str, offset: int, length: int, *, token: str | None = None
    ) -> Iterator[bytes]:
        data = bytearray(b"".join(super().chunks(key, offset, length, token=token)))
        if self.damaged_at in range(offset, offset + length):
            data[self.damaged_at - offset] ^= 1
        yield bytes(data)


@pytest.mark.parametrize("seed", range(8))
def test_one_flipped_bit_is_refused_and_its_range_named(
    tmp_path: Path, weights: bytes, seed: int
) -> None:
    store = Damaged()
    shop = Shop(tmp_path, store)
    shop.publish("1.0", weights=weights)
    archive = shop.release("1.0").archive
    dice = random.Random(seed)
    near_the_end = archive.size_bytes - 1 - dice.randrange(800)
    at = dice.choice([dice.randrange(archive.size_bytes), near_the_end])
    store.damaged_at = at

    with pytest.raises(
        OutsideError, match=r"^wrong bytes came for (?:'|the zip's)"
    ) as caught:
        shop.fetch()

    segments = [part for m in archive.members for part in m.segments]
    (hit,) = (
        part
        for part in [*segments, archive.framing]
        if any(at in range(run.offset, run.end) for run in part.runs)
    )
    first = hit.runs[0]
    assert f"bytes {first.offset} to {first.end}" in str(caught.value)
    assert f"released {hit.blake3}" in str(caught.value)
    assert caught.value.hint == HINT
    assert shop.files() == [".cat-1.0.mar.fetch", ".cat-1.0.mar.fetch.journal"]

    store.damaged_at = None
    shop.fetch()
    assert shop.is_whole("1.0")
    assert shop.files() == ["cat-1.0.mar"]


@pytest.mark.parametrize("anywhere", ["local", "radosgw"], indirect=True)
def test_an_archive_that_is_replaced_meanwhile_is_noticed(
    anywhere: Shop, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "GET_MAX_BYTES", 2**20)
    monkeypatch.setattr(module, "_IN_FLIGHT", 1)
    anywhere.publish("1.0", weights=weights)
    key, reads = anywhere.release("1.0").key, iter(range(99))
    real = anywhere.store.chunks

    def chunks(
        key_: str, offset: int, length: int, *, token: str | None = None
    ) -> Iterator[bytes]:
        if key_ == key and next(reads) == 2:
            other = anywhere.home / "other"
            other.write_bytes(bytes(anywhere.release("1.0").archive.size_bytes))
            anywhere.store.delete(key)
            anywhere.store.upload(key, FileContent(other), on_bytes=lambda count: None)
        return real(key_, offset, length, token=token)

    monkeypatch.setattr(anywhere.store, "chunks", chunks)

    with pytest.raises(OutsideError, match="changed while it was read"):
        anywhere.fetch()

    assert "cat-1.0.mar" not in anywhere.files()


@pytest.mark.parametrize("anywhere", ["memory", "local", "moto"], indirect=True)
@pytest.mark.parametrize("found", ["is gone", "has 5 bytes"])
def test_an_archive_that_is_gone_or_short_is_told_before_anything_is_read(
    anywhere: Shop, weights: bytes, found: str
) -> None:
    anywhere.publish("1.0", weights=weights)
    release = anywhere.release("1.0")
    anywhere.store.delete(release.key)
    if found != "is gone":
        (anywhere.home / "short").write_bytes(b"short")
        short = FileContent(anywhere.home / "short")
        anywhere.store.upload(release.key, short, on_bytes=lambda count: None)

    with pytest.raises(OutsideError) as caught:
        anywhere.fetch()

    assert str(caught.value) == (
        f"{anywhere.store.address}/{release.key} {found}, cat@1.0 was released with "
        f"{release.archive.size_bytes}"
    )


# Interrupted, and beside others


def test_it_goes_on_where_it_was_interrupted(
    shop: Shop, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "GET_MAX_BYTES", 256 * KIB)
    shop.publish("1.0", weights=weights)
    assert isinstance(shop.store, MemoryStore)
    size_bytes, came = shop.release("1.0").archive.size_bytes, 0
    for _ in range(200):
        shop.store.fail_at = len(shop.store.calls) + 15
        shop.shown.clear()
        try:
            shop.fetch()
        except OutsideError:
            assert "cat-1.0.mar" not in shop.files()
            came -= sum(shop.shown[1:])
        else:
            break
    came -= sum(shop.shown[1:])

    assert shop.is_whole("1.0")
    assert shop.files() == ["cat-1.0.mar"]
    # A segment of which a part had come is asked for again as a whole.
    assert size_bytes <= came < 3 * size_bytes


def test_what_an_interruption_left_damaged_is_fetched_again(
    shop: Shop, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "GET_MAX_BYTES", 2**20)
    shop.publish("1.0", weights=weights)
    assert isinstance(shop.store, MemoryStore)
    shop.store.fail_at = len(shop.store.calls) + 9
    with pytest.raises(OutsideError):
        shop.fetch()
    shop.store.fail_at = None
    partial = shop.folder / ".cat-1.0.mar.fetch"
    partial.write_bytes(bytes(partial.stat().st_size))

    shop.fetch()

    assert shop.is_whole("1.0")


def test_a_torn_journal_is_read_as_far_as_it_goes(
    shop: Shop, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delta, "GET_MAX_BYTES", 2**20)
    shop.publish("1.0", weights=weights)
    assert isinstance(shop.store, MemoryStore)
    shop.store.fail_at = len(shop.store.calls) + 9
    with pytest.raises(OutsideError):
        shop.fetch()
    shop.store.fail_at = None
    journal = shop.folder / ".cat-1.0.mar.fetch.journal"
    journal.write_bytes(b"\xff\n4096 abc\n" + journal.read_bytes()[:-20])

    shop.fetch()

    assert shop.is_whole("1.0")
    assert shop.files() == ["cat-1.0.mar"]
