"""Archives in a model store: what TorchServe unpacks, put together on the host."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from adapters.installing import TINY, visible
from model_servers.adapters import disk
from model_servers.adapters.entries import why_unusable
from model_servers.adapters.given_archive import read
from model_servers.adapters.model_store import LocalModelStore
from model_servers.core.entries import Layout
from model_servers.core.host import Installed
from model_servers.core.release import Release
from model_servers.errors import OutsideError, RefusedError
from zoo import CHECKPOINT, write_wheel

REQUIRING = {"build": {"requirements_file": "requirements.txt"}}

Archive = tuple[Release, bytes]


@pytest.fixture
def model_store(root: Path) -> LocalModelStore:
    return LocalModelStore(root, python=sys.executable, layout=Layout.MAR)


def install(store: LocalModelStore, archive: Archive, **overlay: object) -> None:
    release, data = archive

    def chunks(offset: int, length: int) -> Iterator[bytes]:
        yield data[offset : offset + length]

    store.install(release, chunks=chunks, on_bytes=lambda count: None, overlay=overlay)


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        # TorchServe's reader goes from member to member, and needs sizes before data.
        assert {one.flag_bits & 8 for one in archive.infolist()} == {0}
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        return {name: archive.read(name) for name in archive.namelist()}


def test_an_archive_is_what_was_released_byte_for_byte(
    model_store: LocalModelStore, root: Path, released: Callable[..., Archive]
) -> None:
    release, data = released()

    install(model_store, (release, data))

    assert visible(root) == ["tiny-1.0.0.mar"]
    assert (root / "tiny-1.0.0.mar").read_bytes() == data
    assert (root / "tiny-1.0.0.mar").stat().st_mode & 0o777 == 0o444
    assert model_store.installed() == {
        TINY: Installed(
            sha256=release.archive.sha256, answered=False, layout=Layout.MAR
        )
    }
    assert why_unusable(root, TINY, Layout.MAR) == ""
    assert model_store.release(TINY) == release


def test_settings_of_the_host_are_packed_and_nothing_else_changes(
    model_store: LocalModelStore, root: Path, released: Callable[..., Archive]
) -> None:
    release, data = released(config={"batchSize": 4, "maxBatchDelay": 9})
    install(model_store, (release, data))
    before = members(root / "tiny-1.0.0.mar")

    install(model_store, (release, data), batchSize=8, deviceIds=[1])

    after = members(root / "tiny-1.0.0.mar")
    config = yaml.safe_load(after.pop("model-config.yaml"))
    own = yaml.safe_load(before.pop("model-config.yaml"))
    assert config == {**own, "batchSize": 8, "deviceIds": [1]}
    assert after.pop("MAR-INF/release.json") == release.to_bytes()
    assert after == before
    assert model_store.installed()[TINY].overlay == {"batchSize": 8, "deviceIds": [1]}
    serving = model_store.serving(TINY)
    assert (serving.batch_size, serving.max_batch_delay_ms) == (8, 9)
    assert model_store.released_serving(TINY).batch_size == 4
    install(model_store, (release, data))
    assert (root / "tiny-1.0.0.mar").read_bytes() == data


def test_requirements_stand_where_torchserves_own_install_would_put_them(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    released: Callable[..., Archive],
) -> None:
    archive = released(
        model=REQUIRING, files={"requirements.txt": write_wheel(tmp_path / "wheels")}
    )

    install(model_store, archive)

    found = members(root / "tiny-1.0.0.mar")
    assert found["tinylib/__init__.py"] == b"NUMBER = 42\n"
    assert found["checkpoint.pt"] == CHECKPOINT
    assert not [name for name in found if "__pycache__" in name]


def test_a_file_of_the_model_hides_a_package_of_its_name(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    released: Callable[..., Archive],
) -> None:
    files = {
        "requirements.txt": write_wheel(tmp_path / "wheels"),
        "tinylib/own.py": "OWN = 1\n",
    }
    build = {**REQUIRING["build"], "extra_files": ["tinylib"]}

    install(model_store, released(model={"build": build}, files=files))

    found = members(root / "tiny-1.0.0.mar")
    assert [name for name in found if name.startswith("tinylib/")] == ["tinylib/own.py"]


def test_an_archive_that_another_tool_has_laid_out_is_packed_of_the_same_members(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    released: Callable[..., Archive],
) -> None:
    release, data = released()
    given = tmp_path / "given.mar"
    with zipfile.ZipFile(io.BytesIO(data)) as ours, zipfile.ZipFile(given, "w") as out:
        for name in reversed(ours.namelist()):
            out.writestr(name, ours.read(name))
    release = replace(release, archive=read(given).archive)

    install(model_store, (release, given.read_bytes()))

    assert members(root / "tiny-1.0.0.mar") == members(given)
    assert why_unusable(root, TINY, Layout.MAR) == ""


def test_an_archive_of_somebody_else_is_not_written_over(
    model_store: LocalModelStore, root: Path, released: Callable[..., Archive]
) -> None:
    (root / "tiny-1.0.0.mar").write_bytes(b"precious")

    with pytest.raises(RefusedError) as caught:
        install(model_store, released())

    assert str(root / "tiny-1.0.0.mar") in str(caught.value)
    assert (root / "tiny-1.0.0.mar").read_bytes() == b"precious"
    assert model_store.installed() == {}
    assert visible(root) == ["tiny-1.0.0.mar"]


def test_the_right_archive_is_taken_over_whoever_put_it_there(
    model_store: LocalModelStore, root: Path, released: Callable[..., Archive]
) -> None:
    release, data = released()
    (root / "tiny-1.0.0.mar").write_bytes(data)
    assert model_store.installed() == {}

    install(model_store, (release, data))

    assert list(model_store.installed()) == [TINY]


@pytest.mark.parametrize("failing", range(1, 5))
def test_interrupted_it_is_complete_or_not_there_and_can_be_repeated(
    model_store: LocalModelStore,
    root: Path,
    released: Callable[..., Archive],
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
) -> None:
    release, data = released()
    moves, replace = iter(range(1, 100)), Path.replace

    def killed(source: Path, target: Path) -> Path:
        if next(moves) == failing:
            raise KeyboardInterrupt
        return replace(source, target)

    def both() -> None:
        install(model_store, (release, data))
        install(model_store, (release, data), batchSize=8)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            both()

    for name in visible(root):
        assert why_unusable(root, TINY, Layout.MAR) == "", name
    install(model_store, (release, data))
    assert (root / "tiny-1.0.0.mar").read_bytes() == data
    assert model_store.installed()[TINY].overlay == {}


def test_what_has_rotted_in_a_tree_is_not_packed(
    model_store: LocalModelStore, root: Path, released: Callable[..., Archive]
) -> None:
    archive = released()
    install(model_store, archive)
    (weights,) = root.glob(".model-servers/trees/*/checkpoint.pt")
    weights.chmod(0o644)
    weights.write_bytes(bytes(len(CHECKPOINT)))

    with pytest.raises(OutsideError) as caught:
        install(model_store, archive, batchSize=8)

    assert str(caught.value).startswith(f"{weights} has rotted: ")
    assert caught.value.hint == "`ms sync verify` mends it"
    assert (root / "tiny-1.0.0.mar").read_bytes() == archive[1]


@pytest.mark.parametrize("cut", [0, 100, 5000])
def test_an_archive_that_is_cut_is_found_and_put_together_again(
    model_store: LocalModelStore,
    root: Path,
    released: Callable[..., Archive],
    cut: int,
) -> None:
    release, data = released()
    install(model_store, (release, data))
    entry = root / "tiny-1.0.0.mar"
    entry.chmod(0o644)
    os.truncate(entry, cut)
    assert why_unusable(root, TINY, Layout.MAR).startswith("it cannot be read: ")

    model_store.restore(TINY)

    assert hashlib.sha256(entry.read_bytes()).hexdigest() == release.archive.sha256


def test_an_archive_that_has_rotted_is_put_together_again(
    model_store: LocalModelStore, root: Path, released: Callable[..., Archive]
) -> None:
    release, data = released()
    install(model_store, (release, data))
    entry = root / "tiny-1.0.0.mar"
    entry.chmod(0o644)
    entry.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])

    model_store.restore(TINY)

    assert entry.read_bytes() == data


def test_a_version_in_one_layout_is_restored_in_the_wanted_one(
    model_store: LocalModelStore, root: Path, released: Callable[..., Archive]
) -> None:
    release, data = released()
    as_folders = LocalModelStore(root, python=sys.executable)
    install(as_folders, (release, data), batchSize=8)
    assert model_store.installed()[TINY].layout is Layout.DIR

    model_store.restore(TINY)

    assert visible(root) == ["tiny-1.0.0", "tiny-1.0.0.mar"]
    assert model_store.installed()[TINY].layout is Layout.MAR
    assert as_folders.installed()[TINY].layout is Layout.DIR
    for store in (model_store, as_folders):
        assert store.serving(TINY).batch_size == 8


def test_what_is_forgotten_is_gone_in_both_layouts(
    model_store: LocalModelStore, root: Path, released: Callable[..., Archive]
) -> None:
    archive = released()
    install(LocalModelStore(root, python=sys.executable), archive)
    install(model_store, archive)

    model_store.forget(TINY)
    model_store.forget(TINY)

    assert visible(root) == []
    assert model_store.installed() == {}
    home = root / ".model-servers"
    left = [one for one in home.rglob("*") if one.is_file() or one.is_symlink()]
    assert left == []


def test_a_disk_without_room_for_the_archive_is_told_before_it_is_written(
    model_store: LocalModelStore,
    root: Path,
    released: Callable[..., Archive],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = released()
    install(LocalModelStore(root, python=sys.executable), archive)
    monkeypatch.setattr(disk, "SPARE_BYTES", 2**62)

    with pytest.raises(OutsideError) as caught:
        install(model_store, archive)

    assert str(caught.value).startswith("tiny-1.0.0.mar needs ")
    assert visible(root) == ["tiny-1.0.0"]
