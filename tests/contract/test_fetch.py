"""Fetching moves only what is not here, out of every store, and verifies all of it."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from contract.shops import KIB, LAYER_BYTES, LAYER_SHAPE, Shop, checkpoint
from fakes.store import MemoryStore
from model_servers.adapters import delta as module
from model_servers.adapters import disk
from model_servers.core.channels import Pointer, channel_key
from model_servers.core.lifecycle import Notice, State
from model_servers.core.names import Ref, Version
from model_servers.errors import OutsideError, RefusedError, RequestError
from zoo import HANDLER

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
