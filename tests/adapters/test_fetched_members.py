"""What is fetched into a model store: what is missing, verified, and not twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from blake3 import blake3

from adapters.installing import (
    BOTH_LAYOUTS,
    TINY,
    Blob,
    by_hand,
    fail_at,
    install,
    visible,
)
from model_servers.adapters import disk
from model_servers.adapters.model_store import LocalModelStore
from model_servers.core import delta as core_delta
from model_servers.core.names import Ref
from model_servers.core.segments import SEGMENT_MAX_BYTES
from model_servers.errors import OutsideError
from zoo import CHECKPOINT, HANDLER


@BOTH_LAYOUTS
def test_wrong_bytes_are_named_and_never_become_visible(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()
    checkpoint = blob.release.archive.members[0]
    good = blob.data

    start, end = checkpoint.offset, checkpoint.run.end

    def flip(data: bytes) -> bytes:
        return data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:]

    blob.data = flip(good)
    with pytest.raises(OutsideError) as caught:
        install(model_store, blob)

    flipped = blake3(flip(good)[start:end]).hexdigest()
    assert str(caught.value) == (
        f"wrong bytes came for 'checkpoint.pt', bytes {start} to {end} of the archive: "
        f"blake3 {flipped}, released {checkpoint.segments[0].blake3}"
    )
    assert caught.value.hint == (
        "run the command again; if it stays, the store is damaged"
    )
    assert visible(root) == []
    assert model_store.installed() == {}
    assert not (root / ".model-servers" / "work").exists()


@BOTH_LAYOUTS
@pytest.mark.parametrize("wrong", [b"", b"too short", b"x" * 10_000])
def test_bytes_of_another_length_are_wrong_too(
    model_store: LocalModelStore,
    root: Path,
    make_blob: Callable[..., Blob],
    wrong: bytes,
) -> None:
    blob = make_blob()
    blob.on_read = lambda start, size, data: wrong

    with pytest.raises(OutsideError, match=r"^wrong bytes came for 'checkpoint\.pt'"):
        install(model_store, blob)

    assert model_store.installed() == {}


def test_interrupted_anywhere_it_shows_nothing_and_goes_on_from_there(
    model_store: LocalModelStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_delta, "GET_MAX_BYTES", 1_000)
    weights, manifest = os.urandom(4_999), b'{"model": {}}'
    contents = {"weights.bin": weights, "MAR-INF/MANIFEST.json": manifest}
    blob = by_hand(TINY, contents, segment=1_000)
    for _ in range(5):
        blob.on_read = fail_at(2)  # one more range arrives at each try
        with pytest.raises(OutsideError, match="the network is gone"):
            install(model_store, blob)
        assert visible(root) == []
        assert model_store.installed() == {}
    blob.on_read = lambda start, size, data: data
    blob.ranges.clear()

    install(model_store, blob)

    assert len(blob.ranges) == 1
    assert list(model_store.installed()) == [TINY]
    assert (root / "tiny-1.0.0" / "weights.bin").read_bytes() == weights


def test_a_member_that_an_interruption_left_damaged_is_fetched_again(
    model_store: LocalModelStore,
    root: Path,
    make_blob: Callable[..., Blob],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_delta, "GET_MAX_BYTES", len(CHECKPOINT))
    blob = make_blob()
    blob.on_read = fail_at(3)
    with pytest.raises(OutsideError):
        install(model_store, blob)
    trees = root / ".model-servers" / "trees"
    (checkpoint,) = trees.glob(".partial-*/checkpoint.pt")
    checkpoint.chmod(0o644)
    checkpoint.write_bytes(bytes(len(CHECKPOINT)))
    blob.on_read = lambda start, size, data: data

    install(model_store, blob)

    assert (root / "tiny-1.0.0" / "checkpoint.pt").read_bytes() == CHECKPOINT


def test_a_release_with_the_same_checkpoint_fetches_only_what_changed(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    first = make_blob()
    second = make_blob(
        version="1.0.1", files={"handler_model.py": f"# faster\n{HANDLER}"}
    )
    install(model_store, first)
    changed = {
        member.path: member.length
        for member in second.release.archive.members
        if member.path in {"handler_model.py", "MAR-INF/MANIFEST.json"}
    }

    assert model_store.missing_bytes(second.release) == sum(changed.values())
    assert install(model_store, second) == sum(changed.values())

    assert sum(size for _, size in second.ranges) < 10_000
    assert sorted(model_store.installed()) == [TINY, Ref.parse("tiny@1.0.1")]
    assert (root / "tiny-1.0.1" / "checkpoint.pt").read_bytes() == CHECKPOINT
    text = (root / "tiny-1.0.1" / "handler_model.py").read_text()
    assert text.startswith("# faster\n")


def test_a_fine_tuned_checkpoint_fetches_the_layer_that_changed(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    def saved(**changed: torch.Tensor) -> bytes:
        layers = {name: torch.full((500, 1000), float(ord(name))) for name in "abcd"}
        torch.save(layers | changed, root.parent / "model.pt")
        return (root.parent / "model.pt").read_bytes()

    tuned = saved(c=torch.zeros(500, 1000))
    first = make_blob(files={"checkpoint.pt": saved()})
    second = make_blob(version="1.0.1", files={"checkpoint.pt": tuned})
    install(model_store, first)

    missing = model_store.missing_bytes(second.release)
    assert install(model_store, second) == missing

    layer = 500 * 1000 * 4
    assert layer <= missing < 1.02 * layer
    assert (root / "tiny-1.0.1" / "checkpoint.pt").read_bytes() == tuned


@BOTH_LAYOUTS
def test_missing_bytes_are_those_that_no_tree_has(
    model_store: LocalModelStore, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()
    everything = sum(member.length for member in blob.release.archive.members)

    assert model_store.missing_bytes(blob.release) == everything

    install(model_store, blob)

    assert model_store.missing_bytes(blob.release) == 0


def test_members_are_fetched_by_segments_and_put_together(
    model_store: LocalModelStore, root: Path
) -> None:
    manifest = b'{"model": {}}'
    weights = os.urandom(100_003)
    contents = {"weights.bin": weights, "empty": b"", "MAR-INF/MANIFEST.json": manifest}
    blob = by_hand(TINY, contents, segment=7_000)

    assert install(model_store, blob) == len(blob.data)

    assert blob.ranges == [(0, len(blob.data))]
    assert (root / "tiny-1.0.0" / "weights.bin").read_bytes() == weights
    assert (root / "tiny-1.0.0" / "empty").read_bytes() == b""


@BOTH_LAYOUTS
def test_a_wrong_segment_is_named_by_its_place_in_the_archive(
    model_store: LocalModelStore,
) -> None:
    contents = {"first": b"1" * 500, "weights.bin": b"2" * 10_000}
    blob = by_hand(TINY, contents, segment=1_000)
    blob.data = blob.data[:3_500] + b"3" + blob.data[3_501:]

    with pytest.raises(
        OutsideError, match=r"'weights\.bin', bytes 3500 to 4500 of the"
    ):
        install(model_store, blob)

    assert model_store.installed() == {}


def test_large_files_share_their_bytes_with_the_tree(
    model_store: LocalModelStore, root: Path
) -> None:
    large = os.urandom(2**20)
    contents = {"weights.bin": large, "MAR-INF/MANIFEST.json": b'{"model": {}}'}
    blob = by_hand(TINY, contents)

    install(model_store, blob)

    weights = root / "tiny-1.0.0" / "weights.bin"
    assert weights.read_bytes() == large
    assert weights.stat().st_mode & 0o777 == 0o444


_LARGE = bytes(2**20) + b"1" * 2**20
"""Two segments."""


def _of_one_weight(version: str) -> Blob:
    ref = Ref.parse(f"tiny@{version}")
    manifest = f'{{"model": {{}}, "version": "{version}"}}'.encode()
    contents = {"weights.bin": _LARGE, "MAR-INF/MANIFEST.json": manifest}
    return by_hand(ref, contents, segment=2**20)


def _weights(root: Path, blob: Blob) -> Path:
    trees = root / ".model-servers" / "trees"
    return trees / blob.release.archive.sha256 / "weights.bin"


def _written_to(file: Path) -> None:
    """Let somebody write into a file, a second after all that was verified."""
    file.chmod(0o644)
    with file.open("r+b") as stream:
        stream.write(b"rot")
    later_ns = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later_ns, later_ns))


def test_a_large_file_that_somebody_has_written_to_is_not_shared(
    model_store: LocalModelStore, root: Path
) -> None:
    first, second = _of_one_weight("1.0.0"), _of_one_weight("1.0.1")
    install(model_store, first)
    _written_to(_weights(root, first))

    install(model_store, second)

    assert (root / "tiny-1.0.1" / "weights.bin").read_bytes() == _LARGE
    # The segment that is right still is not fetched.
    assert 2**20 <= sum(size for _, size in second.ranges) < 2**20 + 4096


@pytest.mark.parametrize("spoilt", [0, 1])
def test_what_one_tree_has_spoilt_another_one_gives(
    model_store: LocalModelStore, root: Path, spoilt: int
) -> None:
    blobs = [_of_one_weight("1.0.0"), _of_one_weight("1.0.1")]
    for blob in blobs:
        install(model_store, blob)
    weights = _weights(root, blobs[spoilt])
    weights.unlink()  # as if the two shared no bytes
    weights.write_bytes(_LARGE)
    _written_to(weights)
    third = _of_one_weight("1.0.2")

    install(model_store, third)

    assert (root / "tiny-1.0.2" / "weights.bin").read_bytes() == _LARGE
    assert sum(size for _, size in third.ranges) < 4096


def test_real_archives_cut_large_members_into_segments(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    weights = bytes(range(256)) * (SEGMENT_MAX_BYTES // 256) + b"the rest"
    blob = make_blob(files={"checkpoint.pt": weights})

    install(model_store, blob)

    assert len(blob.release.archive.members[0].segments) == 2
    assert (root / "tiny-1.0.0" / "checkpoint.pt").read_bytes() == weights


@BOTH_LAYOUTS
def test_a_disk_without_room_is_told_before_anything_is_fetched(
    model_store: LocalModelStore,
    make_blob: Callable[..., Blob],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blob = make_blob()
    monkeypatch.setattr(disk, "SPARE_BYTES", 2**62)

    with pytest.raises(OutsideError) as caught:
        install(model_store, blob)

    assert str(caught.value).startswith("tiny@1.0.0 needs ")
    assert caught.value.hint.startswith("make room on the disk")
    assert blob.ranges == []
