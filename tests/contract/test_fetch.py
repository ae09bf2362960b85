"""Fetching moves only what is not here, out of every store, and verifies all of it."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from fakes.store import MemoryStore
from fakes.watcher import Quiet
from model_servers.adapters import delta as module
from model_servers.adapters import disk
from model_servers.adapters.archive_folder import ArchiveFolder
from model_servers.adapters.channels import read_pointer
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.file_content import FileContent
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.releases import StoredReleases
from model_servers.core import delta
from model_servers.core.channels import Pointer, channel_key
from model_servers.core.lifecycle import Notice, State
from model_servers.core.names import Ref, Version
from model_servers.core.release import Release
from model_servers.errors import OutsideError, RefusedError, RequestError
from model_servers.journeys.build import Build
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.channels import Channels
from model_servers.journeys.fetch import Fetch, Fetched
from model_servers.journeys.publish import Publish
from model_servers.ports import OnBytes
from model_servers.ports import ProbedStore as Store
from zoo import HANDLER, make_model

KIB = 2**10
LAYERS, LAYER_SHAPE = 6, (300, 1000)
LAYER_BYTES = 300 * 1000 * 4
HINT = "run the command again; if it stays, the store is damaged"


def checkpoint(path: Path, **changed: torch.Tensor) -> bytes:
    """Give a checkpoint of six layers, always the same ones unless *changed*."""
    numbers = torch.Generator().manual_seed(1)
    layers = {
        f"layer{number}": torch.randn(LAYER_SHAPE, generator=numbers)
        for number in range(LAYERS)
    }
    torch.save(layers | changed, path / "model.pt")
    return (path / "model.pt").read_bytes()


@dataclass
class Shop:
    """A registry, the store it publishes to, and a folder of somebody far away."""

    home: Path
    store: Store
    shown: list[int] = field(default_factory=list)

    def publish(self, version: str, *, weights: bytes, handler: str = HANDLER) -> None:
        files = {"checkpoint.pt": weights, "handler_model.py": handler}
        make_model(self.home / "registry", "cat", version=version, files=files)
        build = Build(registry=Checkout(self.home / "registry"), writer=MarWriter())
        publish = Publish(build=build, store=self.store, releases=self.releases)
        publish.run([build.recipe("cat")], Quiet())

    @property
    def releases(self) -> StoredReleases:
        return StoredReleases(self.store)

    @property
    def catalog(self) -> Catalog:
        return Catalog(store=self.store, releases=self.releases)

    @property
    def folder(self) -> Path:
        return self.home / "far"

    def release(self, version: str) -> Release:
        release = self.releases.find(Ref.parse(f"cat@{version}"))
        assert release is not None
        return release

    def fetching(self, release: Release, size_bytes: int) -> OnBytes:
        self.shown.append(size_bytes)
        return lambda count: self.shown.append(-count)

    def fetch(self, text: str = "cat@latest") -> Fetched:
        journey = Fetch(
            store=self.store,
            releases=self.releases,
            archives=ArchiveFolder(self.folder),
            channels=Channels(
                store=self.store, catalog=self.catalog, read_pointer=read_pointer
            ),
        )
        return journey.run(text, self)

    def is_whole(self, version: str) -> bool:
        data = (self.folder / f"cat-{version}.mar").read_bytes()
        return hashlib.sha256(data).hexdigest() == self.release(version).archive.sha256

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


def made(
    kind: str, request: pytest.FixtureRequest, home: Path, s3: Callable[..., Store]
) -> Store:
    match kind:
        case "memory":
            return MemoryStore()
        case "local":
            return LocalStore(home / "store")
        case "moto":
            return s3(request.getfixturevalue("moto_server"))
        case _:
            return s3(request.getfixturevalue("radosgw_at"))


@pytest.fixture(params=["memory", "local", "moto", "radosgw"])
def anywhere(
    request: pytest.FixtureRequest, tmp_path: Path, s3_store: Callable[..., Store]
) -> Shop:
    """A shop with every kind of store."""
    return Shop(tmp_path, made(request.param, request, tmp_path, s3_store))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, MemoryStore())


@pytest.fixture
def weights(tmp_path: Path) -> bytes:
    return checkpoint(tmp_path)


# Only what is not here


def test_an_archive_arrives_byte_for_byte(anywhere: Shop, weights: bytes) -> None:
    anywhere.publish("1.0", weights=weights)

    fetched = anywhere.fetch("cat@1.0")

    archive = anywhere.release("1.0").archive
    assert fetched.path == anywhere.folder / "cat-1.0.mar"
    assert fetched.fetched_bytes == archive.size_bytes
    assert anywhere.shown[0] == archive.size_bytes == -sum(anywhere.shown[1:])
    assert anywhere.is_whole("1.0")
    assert anywhere.files() == ["cat-1.0.mar"]
    with zipfile.ZipFile(fetched.path) as read:
        assert read.read("checkpoint.pt") == weights


def test_a_code_only_release_moves_kilobytes(anywhere: Shop, weights: bytes) -> None:
    anywhere.publish("1.0", weights=weights)
    anywhere.fetch("cat@1.0")
    anywhere.publish("1.1", weights=weights, handler=f"# faster\n{HANDLER}")

    fetched = anywhere.fetch("cat@latest")

    assert fetched.release.ref == Ref.parse("cat@1.1")
    assert fetched.fetched_bytes < 50 * KIB
    assert anywhere.is_whole("1.1")
    assert anywhere.files() == ["cat-1.0.mar", "cat-1.1.mar"]


def test_a_fine_tuned_layer_moves_that_layer(anywhere: Shop, tmp_path: Path) -> None:
    anywhere.publish("1.0", weights=checkpoint(tmp_path))
    anywhere.fetch()
    tuned = checkpoint(tmp_path, layer3=torch.zeros(LAYER_SHAPE))
    anywhere.publish("1.1", weights=tuned)

    fetched = anywhere.fetch()

    assert fetched.fetched_bytes < 1.1 * LAYER_BYTES
    assert anywhere.is_whole("1.1")


def test_what_is_here_whole_is_not_fetched_again(shop: Shop, weights: bytes) -> None:
    shop.publish("1.0", weights=weights)
    shop.fetch()

    assert shop.fetch().fetched_bytes == 0
    assert len(shop.shown) > 0


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


def test_a_disk_without_room_is_told_before_anything_is_read(
    shop: Shop, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish("1.0", weights=weights)
    free = shutil.disk_usage(shop.home).free
    monkeypatch.setattr(disk, "SPARE_BYTES", free)
    assert isinstance(shop.store, MemoryStore)
    shop.store.calls.clear()

    with pytest.raises(OutsideError, match=r"^cat@1\.0 needs \d+ bytes in ") as caught:
        shop.fetch()

    assert caught.value.hint.startswith("make room on the disk")
    assert "chunks" not in {method for method, _ in shop.store.calls}
    assert shop.files() == []


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


def test_a_second_fetch_of_the_same_release_is_refused(
    shop: Shop, weights: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish("1.0", weights=weights)
    real = shop.store.chunks
    refusals: list[RefusedError] = []

    def chunks(
        key: str, offset: int, length: int, *, token: str | None = None
    ) -> Iterator[bytes]:
        if not refusals:
            monkeypatch.setattr(shop.store, "chunks", real)
            with pytest.raises(RefusedError) as caught:
                shop.fetch()
            refusals.append(caught.value)
        return real(key, offset, length, token=token)

    monkeypatch.setattr(module, "_IN_FLIGHT", 1)
    monkeypatch.setattr(shop.store, "chunks", chunks)
    shop.fetch()

    assert str(refusals[0]).startswith("another process is fetching the same release")
    assert shop.is_whole("1.0")


# What is meant


@pytest.mark.parametrize(
    "text", ["cat", "cat@", "cat@1", "Cat@1.0", "cat@Stable", "@1.0", "@stable"]
)
def test_what_is_no_reference_is_told_how_to_be_one(shop: Shop, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        shop.fetch(text)

    assert caught.value.hint == (
        "name a release as NAME@VERSION, NAME@CHANNEL or NAME@latest"
    )


@pytest.mark.parametrize("text", ["cat@2.0", "cat@1.0.0", "cat@stable"])
def test_what_is_not_released_is_told_with_what_is(
    shop: Shop, weights: bytes, text: str
) -> None:
    shop.publish("1.0", weights=weights)
    shop.publish("1.1", weights=weights)

    with pytest.raises(RefusedError) as caught:
        shop.fetch(text)

    assert str(caught.value) == (
        f"{text} is not released in memory://store; it has 1.0, 1.1"
    )
    with pytest.raises(RefusedError, match="it has no version"):
        shop.fetch("dog@latest")


def test_a_channel_and_the_latest_version_that_is_not_yanked_can_be_named(
    shop: Shop, weights: bytes
) -> None:
    versions = [Version.parse(text) for text in ("1.0", "1.1", "1.2")]
    for version in versions:
        shop.publish(str(version), weights=weights)
    old, newer, newest = versions
    stable = Pointer(channel="stable", generation=1, models={"cat": old})
    shop.store.create(channel_key("stable"), stable.to_bytes())
    yanked = Notice(state=State.YANKED, reason="it lies", date="2026-01-01")
    shop.catalog.note({"cat": {newest: yanked}})

    assert shop.fetch("cat@stable").release.ref.version == old
    assert shop.fetch("cat@latest").release.ref.version == newer
    assert shop.fetch("cat@1.2").release.ref.version == newest
