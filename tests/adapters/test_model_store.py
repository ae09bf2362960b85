"""The model store of a host: verified bytes, complete or not visible."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.installing import BOTH_LAYOUTS, TINY, Blob, files_in, install, visible
from model_servers.adapters.model_store import LocalModelStore
from model_servers.core.host import Installed
from model_servers.errors import OutsideError
from zoo import CHECKPOINT, HANDLER


def test_an_installed_release_is_what_its_archive_holds(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()

    moved = install(model_store, blob)

    sha256 = blob.release.archive.sha256
    assert visible(root) == ["tiny-1.0.0"]
    assert (root / "tiny-1.0.0").readlink() == Path(f".model-servers/work/{sha256}")
    assert model_store.installed() == {TINY: Installed(sha256=sha256, answered=False)}
    members = {
        member.path: blob.data[member.offset : member.offset + member.length]
        for member in blob.release.archive.members
    }
    assert members["checkpoint.pt"] == CHECKPOINT
    assert members["handler_model.py"] == HANDLER.encode()
    assert files_in(root / ".model-servers" / "trees" / sha256) == members
    facts = {"MAR-INF/release.json": blob.release.to_bytes()}
    assert files_in(root / "tiny-1.0.0") == members | facts
    assert moved == sum(member.length for member in blob.release.archive.members)


@BOTH_LAYOUTS
def test_the_verified_files_are_read_only(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()
    install(model_store, blob)

    tree = root / ".model-servers" / "trees" / blob.release.archive.sha256

    modes = {path.stat().st_mode & 0o777 for path in tree.rglob("*") if path.is_file()}
    assert modes == {0o444}


def test_what_the_model_writes_where_it_runs_does_not_change_the_tree(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()
    install(model_store, blob)
    tree = root / ".model-servers" / "trees" / blob.release.archive.sha256
    before = files_in(tree)

    work = root / "tiny-1.0.0"
    (work / "handler_model.py").write_text("changed = True\n")
    (work / "checkpoint.pt").unlink()
    (work / "MAR-INF" / "MANIFEST.json").write_text("{}")
    (work / "unpacked").mkdir()
    (work / "unpacked" / "file.py").write_text("")

    assert files_in(tree) == before


def test_installing_again_restores_what_the_model_changed(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()
    install(model_store, blob)
    (root / "tiny-1.0.0" / "handler_model.py").write_text("changed = True\n")
    blob.ranges.clear()

    assert install(model_store, blob) == 0

    assert blob.ranges == []
    assert (root / "tiny-1.0.0" / "handler_model.py").read_text() == HANDLER


def test_the_link_appears_last(
    model_store: LocalModelStore,
    root: Path,
    make_blob: Callable[..., Blob],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, list[str], bool]] = []
    replace, rename = Path.replace, Path.rename

    def spied(move: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def moved(source: Path, target: Path) -> Path:
            complete = (root / ".model-servers" / "work" / sha256 / "MAR-INF").is_dir()
            seen.append((target.parent.name, visible(root), complete))
            return move(source, target)

        return moved

    blob = make_blob()
    sha256 = blob.release.archive.sha256
    monkeypatch.setattr(Path, "replace", spied(replace))
    monkeypatch.setattr(Path, "rename", spied(rename))

    install(model_store, blob)

    assert seen == [
        ("trees", [], False),
        ("work", [], False),
        ("model_store", [], True),
    ]


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param(1, id="of the tree"),
        pytest.param(2, id="of what the model runs in"),
        pytest.param(3, id="of the link"),
    ],
)
def test_a_failed_move_is_the_disks_failure_and_can_be_repeated(
    model_store: LocalModelStore,
    make_blob: Callable[..., Blob],
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
) -> None:
    blob = make_blob()
    moves = iter(range(1, 100))

    def move(source: Path, target: Path) -> Path:
        if next(moves) == failing:
            raise OSError(28, "No space left on device")
        os.replace(source, target)  # noqa: PTH105 - Path.replace is replaced
        return target

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", move)
        patch.setattr(Path, "replace", move)
        with pytest.raises(OutsideError) as caught:
            install(model_store, blob)

    assert "No space left on device" in str(caught.value)
    assert caught.value.hint.startswith("make room on the disk")
    assert model_store.installed() == {}
    blob.ranges.clear()
    install(model_store, blob)
    assert list(model_store.installed()) == [TINY]
    assert blob.ranges == []


def test_looking_at_a_host_without_a_model_store_changes_nothing(
    tmp_path: Path, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()
    model_store = LocalModelStore(tmp_path / "none", python=sys.executable)

    assert model_store.installed() == {}
    assert model_store.missing_bytes(blob.release) > 0
    assert not (tmp_path / "none").exists()


def test_what_others_put_into_the_model_store_is_left_alone(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    make_blob: Callable[..., Blob],
) -> None:
    blob = make_blob()
    install(model_store, blob)
    ours = (root / "tiny-1.0.0").readlink()
    (tmp_path / "elsewhere").mkdir()
    (root / "a-directory-1.0").mkdir()
    (root / "archive-1.0.mar").write_bytes(b"PK")
    (root / "absolute-1.0").symlink_to(tmp_path / "elsewhere")
    (root / "neighbour-1.0").symlink_to("a-directory-1.0")
    (root / "upwards-1.0").symlink_to("../elsewhere")
    (root / "dangling-1.0").symlink_to(".model-servers/work/gone")
    (root / "loop-1.0").symlink_to("loop-1.0")
    (root / "home-1.0").symlink_to(".model-servers")
    (root / "alias").symlink_to(ours)
    (root / "my-alias").symlink_to(ours)
    (root / "Upper-1.0").symlink_to(ours)
    before = visible(root)

    installed = model_store.installed()

    assert list(installed) == [TINY]
    install(model_store, blob)
    assert visible(root) == before


def test_a_model_store_whose_links_were_renamed_is_not_what_was_installed(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    install(model_store, make_blob())

    (root / "tiny-1.0.0").rename(root / "tiny")

    assert model_store.installed() == {}


def test_a_release_takes_the_place_of_a_foreign_link_but_not_of_a_directory(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    make_blob: Callable[..., Blob],
) -> None:
    (root / "tiny-1.0.0").symlink_to(tmp_path)
    install(model_store, make_blob())
    assert list(model_store.installed()) == [TINY]
    (root / "tiny-1.0.1").mkdir()
    (root / "tiny-1.0.1" / "precious").touch()

    with pytest.raises(OutsideError) as caught:
        install(model_store, make_blob(version="1.0.1"))

    assert "tiny-1.0.1" in str(caught.value)
    assert (root / "tiny-1.0.1" / "precious").exists()
