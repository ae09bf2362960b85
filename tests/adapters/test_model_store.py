"""The model store of a host: verified bytes, complete or not visible."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from blake3 import blake3

from model_servers.adapters import disk
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.model_store import LocalModelStore
from model_servers.core import delta as core_delta
from model_servers.core.entries import Layout
from model_servers.core.golden import GoldenCase, Request
from model_servers.core.host import Installed
from model_servers.core.names import Ref
from model_servers.core.release import Archive, Release, ReleasedMember
from model_servers.core.segments import SEGMENT_MAX_BYTES, Run, Segment
from model_servers.core.spec import Serving
from model_servers.errors import OutsideError, RefusedError, RequestError
from model_servers.journeys.build import Build
from zoo import CHECKPOINT, HANDLER, make_model, write_wheel

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


@pytest.fixture
def released(tmp_path: Path) -> Callable[..., Blob]:
    """Build real archives; the arguments are those of ``make_model``."""

    def build(**model: object) -> Blob:
        registry = tmp_path / f"registry-{len(list(tmp_path.glob('registry-*')))}"
        make_model(registry, **model)  # type: ignore[arg-type]
        journey = Build(registry=Checkout(registry), writer=MarWriter())
        recipe = journey.recipe(str(model.get("name", "tiny")))
        built = journey.write(recipe, registry)
        return Blob(journey.release(recipe, built.archive), built.path.read_bytes())

    return build


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "model_store"
    folder.mkdir()
    return folder


@pytest.fixture
def model_store(root: Path, request: pytest.FixtureRequest) -> LocalModelStore:
    layout = getattr(request, "param", Layout.DIR)
    return LocalModelStore(root, python=sys.executable, layout=layout)


def _install(model_store: LocalModelStore, blob: Blob) -> int:
    """Install a release and give the number of bytes that were reported."""
    moved: list[int] = []
    model_store.install(blob.release, chunks=blob.chunks, on_bytes=moved.append)
    return sum(moved)


def _fail_at(count: int) -> Callable[[int, int, bytes], bytes]:
    """Give a reader that fails at its *count*-th call, from 1, and from then on."""
    lock, calls = threading.Lock(), iter(range(1, 10**6))

    def read(start: int, size: int, data: bytes) -> bytes:
        with lock:
            if next(calls) >= count:
                raise OutsideError("the network is gone", hint="wait")
        return data

    return read


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _visible(root: Path) -> list[str]:
    """List what TorchServe can see; it ignores hidden entries."""
    return sorted(
        entry.name for entry in root.iterdir() if not entry.name.startswith(".")
    )


def _by_hand(ref: Ref, contents: dict[str, bytes], *, segment: int = 10**9) -> Blob:
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


def test_an_installed_release_is_what_its_archive_holds(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    blob = released()

    moved = _install(model_store, blob)

    sha256 = blob.release.archive.sha256
    assert _visible(root) == ["tiny-1.0.0"]
    assert (root / "tiny-1.0.0").readlink() == Path(f".model-servers/work/{sha256}")
    assert model_store.installed() == {TINY: Installed(sha256=sha256, answered=False)}
    members = {
        member.path: blob.data[member.offset : member.offset + member.length]
        for member in blob.release.archive.members
    }
    assert members["checkpoint.pt"] == CHECKPOINT
    assert members["handler_model.py"] == HANDLER.encode()
    assert _files(root / ".model-servers" / "trees" / sha256) == members
    facts = {"MAR-INF/release.json": blob.release.to_bytes()}
    assert _files(root / "tiny-1.0.0") == members | facts
    assert moved == sum(member.length for member in blob.release.archive.members)


@BOTH_LAYOUTS
def test_the_verified_files_are_read_only(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    blob = released()
    _install(model_store, blob)

    tree = root / ".model-servers" / "trees" / blob.release.archive.sha256

    modes = {path.stat().st_mode & 0o777 for path in tree.rglob("*") if path.is_file()}
    assert modes == {0o444}


def test_what_the_model_writes_where_it_runs_does_not_change_the_tree(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    blob = released()
    _install(model_store, blob)
    tree = root / ".model-servers" / "trees" / blob.release.archive.sha256
    before = _files(tree)

    work = root / "tiny-1.0.0"
    (work / "handler_model.py").write_text("changed = True\n")
    (work / "checkpoint.pt").unlink()
    (work / "MAR-INF" / "MANIFEST.json").write_text("{}")
    (work / "unpacked").mkdir()
    (work / "unpacked" / "file.py").write_text("")

    assert _files(tree) == before


def test_installing_again_restores_what_the_model_changed(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    blob = released()
    _install(model_store, blob)
    (root / "tiny-1.0.0" / "handler_model.py").write_text("changed = True\n")
    blob.ranges.clear()

    assert _install(model_store, blob) == 0

    assert blob.ranges == []
    assert (root / "tiny-1.0.0" / "handler_model.py").read_text() == HANDLER


def test_the_link_appears_last(
    model_store: LocalModelStore,
    root: Path,
    released: Callable[..., Blob],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[str, list[str], bool]] = []
    replace, rename = Path.replace, Path.rename

    def spied(move: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        def moved(source: Path, target: Path) -> Path:
            complete = (root / ".model-servers" / "work" / sha256 / "MAR-INF").is_dir()
            seen.append((target.parent.name, _visible(root), complete))
            return move(source, target)

        return moved

    blob = released()
    sha256 = blob.release.archive.sha256
    monkeypatch.setattr(Path, "replace", spied(replace))
    monkeypatch.setattr(Path, "rename", spied(rename))

    _install(model_store, blob)

    assert seen == [
        ("trees", [], False),
        ("work", [], False),
        ("model_store", [], True),
    ]


@BOTH_LAYOUTS
def test_wrong_bytes_are_named_and_never_become_visible(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    blob = released()
    checkpoint = blob.release.archive.members[0]
    good = blob.data

    start, end = checkpoint.offset, checkpoint.run.end

    def flip(data: bytes) -> bytes:
        return data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:]

    blob.data = flip(good)
    with pytest.raises(OutsideError) as caught:
        _install(model_store, blob)

    flipped = blake3(flip(good)[start:end]).hexdigest()
    assert str(caught.value) == (
        f"wrong bytes came for 'checkpoint.pt', bytes {start} to {end} of the archive: "
        f"blake3 {flipped}, released {checkpoint.segments[0].blake3}"
    )
    assert caught.value.hint == (
        "run the command again; if it stays, the store is damaged"
    )
    assert _visible(root) == []
    assert model_store.installed() == {}
    assert not (root / ".model-servers" / "work").exists()


@BOTH_LAYOUTS
@pytest.mark.parametrize("wrong", [b"", b"too short", b"x" * 10_000])
def test_bytes_of_another_length_are_wrong_too(
    model_store: LocalModelStore,
    root: Path,
    released: Callable[..., Blob],
    wrong: bytes,
) -> None:
    blob = released()
    blob.on_read = lambda start, size, data: wrong

    with pytest.raises(OutsideError, match=r"^wrong bytes came for 'checkpoint\.pt'"):
        _install(model_store, blob)

    assert model_store.installed() == {}


def test_interrupted_anywhere_it_shows_nothing_and_goes_on_from_there(
    model_store: LocalModelStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_delta, "GET_MAX_BYTES", 1_000)
    weights, manifest = os.urandom(4_999), b'{"model": {}}'
    contents = {"weights.bin": weights, "MAR-INF/MANIFEST.json": manifest}
    blob = _by_hand(TINY, contents, segment=1_000)
    for _ in range(5):
        blob.on_read = _fail_at(2)  # one more range arrives at each try
        with pytest.raises(OutsideError, match="the network is gone"):
            _install(model_store, blob)
        assert _visible(root) == []
        assert model_store.installed() == {}
    blob.on_read = lambda start, size, data: data
    blob.ranges.clear()

    _install(model_store, blob)

    assert len(blob.ranges) == 1
    assert list(model_store.installed()) == [TINY]
    assert (root / "tiny-1.0.0" / "weights.bin").read_bytes() == weights


def test_a_member_that_an_interruption_left_damaged_is_fetched_again(
    model_store: LocalModelStore,
    root: Path,
    released: Callable[..., Blob],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_delta, "GET_MAX_BYTES", len(CHECKPOINT))
    blob = released()
    blob.on_read = _fail_at(3)
    with pytest.raises(OutsideError):
        _install(model_store, blob)
    trees = root / ".model-servers" / "trees"
    (checkpoint,) = trees.glob(".partial-*/checkpoint.pt")
    checkpoint.chmod(0o644)
    checkpoint.write_bytes(bytes(len(CHECKPOINT)))
    blob.on_read = lambda start, size, data: data

    _install(model_store, blob)

    assert (root / "tiny-1.0.0" / "checkpoint.pt").read_bytes() == CHECKPOINT


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
    released: Callable[..., Blob],
    monkeypatch: pytest.MonkeyPatch,
    failing: int,
) -> None:
    blob = released()
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
            _install(model_store, blob)

    assert "No space left on device" in str(caught.value)
    assert caught.value.hint.startswith("make room on the disk")
    assert model_store.installed() == {}
    blob.ranges.clear()
    _install(model_store, blob)
    assert list(model_store.installed()) == [TINY]
    assert blob.ranges == []


def test_a_release_with_the_same_checkpoint_fetches_only_what_changed(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    first = released()
    second = released(
        version="1.0.1", files={"handler_model.py": f"# faster\n{HANDLER}"}
    )
    _install(model_store, first)
    changed = {
        member.path: member.length
        for member in second.release.archive.members
        if member.path in {"handler_model.py", "MAR-INF/MANIFEST.json"}
    }

    assert model_store.missing_bytes(second.release) == sum(changed.values())
    assert _install(model_store, second) == sum(changed.values())

    assert sum(size for _, size in second.ranges) < 10_000
    assert sorted(model_store.installed()) == [TINY, Ref.parse("tiny@1.0.1")]
    assert (root / "tiny-1.0.1" / "checkpoint.pt").read_bytes() == CHECKPOINT
    text = (root / "tiny-1.0.1" / "handler_model.py").read_text()
    assert text.startswith("# faster\n")


def test_a_fine_tuned_checkpoint_fetches_the_layer_that_changed(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    def saved(**changed: torch.Tensor) -> bytes:
        layers = {name: torch.full((500, 1000), float(ord(name))) for name in "abcd"}
        torch.save(layers | changed, root.parent / "model.pt")
        return (root.parent / "model.pt").read_bytes()

    tuned = saved(c=torch.zeros(500, 1000))
    first = released(files={"checkpoint.pt": saved()})
    second = released(version="1.0.1", files={"checkpoint.pt": tuned})
    _install(model_store, first)

    missing = model_store.missing_bytes(second.release)
    assert _install(model_store, second) == missing

    layer = 500 * 1000 * 4
    assert layer <= missing < 1.02 * layer
    assert (root / "tiny-1.0.1" / "checkpoint.pt").read_bytes() == tuned


@BOTH_LAYOUTS
def test_missing_bytes_are_those_that_no_tree_has(
    model_store: LocalModelStore, released: Callable[..., Blob]
) -> None:
    blob = released()
    everything = sum(member.length for member in blob.release.archive.members)

    assert model_store.missing_bytes(blob.release) == everything

    _install(model_store, blob)

    assert model_store.missing_bytes(blob.release) == 0


def test_looking_at_a_host_without_a_model_store_changes_nothing(
    tmp_path: Path, released: Callable[..., Blob]
) -> None:
    blob = released()
    model_store = LocalModelStore(tmp_path / "none", python=sys.executable)

    assert model_store.installed() == {}
    assert model_store.missing_bytes(blob.release) > 0
    assert not (tmp_path / "none").exists()


def test_members_are_fetched_by_segments_and_put_together(
    model_store: LocalModelStore, root: Path
) -> None:
    manifest = b'{"model": {}}'
    weights = os.urandom(100_003)
    contents = {"weights.bin": weights, "empty": b"", "MAR-INF/MANIFEST.json": manifest}
    blob = _by_hand(TINY, contents, segment=7_000)

    assert _install(model_store, blob) == len(blob.data)

    assert blob.ranges == [(0, len(blob.data))]
    assert (root / "tiny-1.0.0" / "weights.bin").read_bytes() == weights
    assert (root / "tiny-1.0.0" / "empty").read_bytes() == b""


@BOTH_LAYOUTS
def test_a_wrong_segment_is_named_by_its_place_in_the_archive(
    model_store: LocalModelStore,
) -> None:
    contents = {"first": b"1" * 500, "weights.bin": b"2" * 10_000}
    blob = _by_hand(TINY, contents, segment=1_000)
    blob.data = blob.data[:3_500] + b"3" + blob.data[3_501:]

    with pytest.raises(
        OutsideError, match=r"'weights\.bin', bytes 3500 to 4500 of the"
    ):
        _install(model_store, blob)

    assert model_store.installed() == {}


def test_large_files_share_their_bytes_with_the_tree(
    model_store: LocalModelStore, root: Path
) -> None:
    large = os.urandom(2**20)
    contents = {"weights.bin": large, "MAR-INF/MANIFEST.json": b'{"model": {}}'}
    blob = _by_hand(TINY, contents)

    _install(model_store, blob)

    weights = root / "tiny-1.0.0" / "weights.bin"
    assert weights.read_bytes() == large
    assert weights.stat().st_mode & 0o777 == 0o444


def test_real_archives_cut_large_members_into_segments(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    weights = bytes(range(256)) * (SEGMENT_MAX_BYTES // 256) + b"the rest"
    blob = released(files={"checkpoint.pt": weights})

    _install(model_store, blob)

    assert len(blob.release.archive.members[0].segments) == 2
    assert (root / "tiny-1.0.0" / "checkpoint.pt").read_bytes() == weights


@BOTH_LAYOUTS
def test_a_disk_without_room_is_told_before_anything_is_fetched(
    model_store: LocalModelStore,
    released: Callable[..., Blob],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blob = released()
    monkeypatch.setattr(disk, "SPARE_BYTES", 2**62)

    with pytest.raises(OutsideError) as caught:
        _install(model_store, blob)

    assert str(caught.value).startswith("tiny@1.0.0 needs ")
    assert caught.value.hint.startswith("make room on the disk")
    assert blob.ranges == []


@BOTH_LAYOUTS
def test_what_it_asks_of_torchserve_and_its_golden_cases_are_read(
    model_store: LocalModelStore, released: Callable[..., Blob]
) -> None:
    blob = released(
        files={
            "golden/a_file.yaml": (
                "schema: 1\n"
                "request: {content_type: image/png, file: cat.png}\n"
                'expect: {json: {"label": "cat"}}\n'
            ),
            "golden/cat.png": b"\x89PNG",
        }
    )
    _install(model_store, blob)

    assert model_store.serving(TINY) == Serving(
        min_workers=1,
        max_workers=1,
        batch_size=4,
        max_batch_delay_ms=5,
        response_timeout_s=30,
    )
    assert model_store.golden_cases(TINY) == [
        GoldenCase(
            name="a_file",
            request=Request(content_type="image/png", body=b"\x89PNG"),
            expected={"label": "cat"},
            tolerance={},
        ),
        GoldenCase(
            name="case",
            request=Request(content_type="application/json", body=b"[1,2]"),
            expected=[1, 2],
            tolerance={},
        ),
    ]


def test_that_a_release_answered_is_remembered(
    root: Path, released: Callable[..., Blob]
) -> None:
    blob = released()
    model_store = LocalModelStore(root, python=sys.executable)
    _install(model_store, blob)

    model_store.mark_answered(TINY)

    sha256 = blob.release.archive.sha256
    again = LocalModelStore(root, python=sys.executable)
    assert again.installed() == {TINY: Installed(sha256=sha256, answered=True)}


def test_the_handlers_report_is_read_and_forgotten(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    _install(model_store, released())

    assert model_store.load_error(TINY) is None
    model_store.clear_load_error(TINY)

    (root / "tiny-1.0.0" / "load-error.txt").write_text("no module named 'x'\n")
    assert model_store.load_error(TINY) == "no module named 'x'"
    model_store.clear_load_error(TINY)
    assert model_store.load_error(TINY) is None


def test_what_others_put_into_the_model_store_is_left_alone(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    released: Callable[..., Blob],
) -> None:
    blob = released()
    _install(model_store, blob)
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
    before = _visible(root)

    installed = model_store.installed()

    assert list(installed) == [TINY]
    _install(model_store, blob)
    assert _visible(root) == before


def test_a_model_store_whose_links_were_renamed_is_not_what_was_installed(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    _install(model_store, released())

    (root / "tiny-1.0.0").rename(root / "tiny")

    assert model_store.installed() == {}


def test_a_release_takes_the_place_of_a_foreign_link_but_not_of_a_directory(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    released: Callable[..., Blob],
) -> None:
    (root / "tiny-1.0.0").symlink_to(tmp_path)
    _install(model_store, released())
    assert list(model_store.installed()) == [TINY]
    (root / "tiny-1.0.1").mkdir()
    (root / "tiny-1.0.1" / "precious").touch()

    with pytest.raises(OutsideError) as caught:
        _install(model_store, released(version="1.0.1"))

    assert "tiny-1.0.1" in str(caught.value)
    assert (root / "tiny-1.0.1" / "precious").exists()


def _overlaid(
    model_store: LocalModelStore, blob: Blob, overlay: dict[str, object]
) -> None:
    model_store.install(
        blob.release,
        chunks=blob.chunks,
        on_bytes=lambda count: None,
        overlay=overlay,
    )


def test_an_overlay_changes_the_config_that_is_registered_and_not_the_tree(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    blob = released(config={"batchSize": 4, "minWorkers": 1, "maxWorkers": 1})
    overlay = {"minWorkers": 2, "maxWorkers": 2, "deviceIds": [1]}

    _overlaid(model_store, blob, overlay)

    assert model_store.installed()[TINY].overlay == overlay
    serving = model_store.serving(TINY)
    assert (serving.batch_size, serving.min_workers) == (4, 2)
    tree = root / ".model-servers" / "trees" / blob.release.archive.sha256
    assert "deviceIds" not in (tree / "model-config.yaml").read_text("utf-8")
    assert "deviceIds" in (root / "tiny-1.0.0" / "model-config.yaml").read_text("utf-8")


def test_another_overlay_needs_no_bytes_and_leaves_what_runs_alone(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    blob = released()
    _overlaid(model_store, blob, {"batchSize": 2})
    running = (root / "tiny-1.0.0").resolve()
    before = _files(running)
    model_store.mark_answered(TINY)
    blob.ranges.clear()

    _overlaid(model_store, blob, {"batchSize": 8})

    assert blob.ranges == []
    assert _files(running) == before
    assert model_store.serving(TINY).batch_size == 8
    assert model_store.installed()[TINY].answered
    _install(model_store, blob)
    assert model_store.installed()[TINY].overlay == {}


@BOTH_LAYOUTS
def test_an_installed_release_is_known_without_its_store(
    model_store: LocalModelStore, released: Callable[..., Blob]
) -> None:
    blob = released()
    assert model_store.release(TINY) is None

    _overlaid(model_store, blob, {"batchSize": 2})

    assert model_store.release(TINY) == blob.release


def test_what_is_forgotten_leaves_no_overlay_behind(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    for overlay in ({"batchSize": 2}, {}):
        _overlaid(model_store, released(), overlay)

    model_store.forget(TINY)

    assert os.listdir(root / ".model-servers" / "work") == []  # noqa: PTH208
    assert model_store.installed() == {}


@BOTH_LAYOUTS
def test_a_second_sync_is_refused_and_the_first_one_named(
    model_store: LocalModelStore, root: Path
) -> None:
    other = LocalModelStore(root, python=sys.executable)

    with (
        model_store.locked(),
        pytest.raises(RefusedError) as caught,
        other.locked(),
    ):
        pytest.fail("there are two of them")

    assert str(caught.value) == (
        f"another ms is at work on {root}: process {os.getpid()}"
    )
    assert caught.value.hint == "wait until it is done, or stop it"
    with other.locked():
        pass


def test_who_makes_room_on_a_full_disk_gets_the_lock(
    model_store: LocalModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with model_store.locked():
        pass
    monkeypatch.setattr(os, "pwrite", full)

    with model_store.locked(), pytest.raises(RefusedError), model_store.locked():
        pytest.fail("there are two of them")


def test_a_record_of_a_newer_ms_is_refused(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    blob = released()
    _install(model_store, blob)
    (record,) = (root / ".model-servers" / "trees").glob("*.json")
    record.chmod(0o644)
    record.write_text(json.dumps({**json.loads(record.read_bytes()), "schema": 2}))

    with pytest.raises(RequestError) as caught:
        model_store.release(TINY)

    assert str(record) in str(caught.value)


def test_a_damaged_record_of_one_version_stops_no_other(
    model_store: LocalModelStore, root: Path, released: Callable[..., Blob]
) -> None:
    _install(model_store, released())
    (record,) = (root / ".model-servers" / "trees").glob("*.json")
    record.chmod(0o644)
    record.write_text("rotten")
    later = released(version="1.1.0")

    fetched = _install(model_store, later)

    assert fetched > 0
    assert later.release.ref in model_store.installed()
    with pytest.raises(OutsideError) as caught:
        model_store.release(TINY)
    assert caught.value.hint == "the file is damaged; `ms sync verify` mends it"


REQUIRING = {"build": {"requirements_file": "requirements.txt"}}


def test_requirements_are_installed_once_and_linked_into_each_model(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    released: Callable[..., Blob],
) -> None:
    files = {"requirements.txt": write_wheel(tmp_path / "wheels")}
    first = released(model=REQUIRING, files=files)
    second = released(version="1.0.1", model=REQUIRING, files=files)

    _install(model_store, first)
    packages = root / ".model-servers" / "requirements"
    (folder,) = (path for path in packages.iterdir() if path.is_dir())
    (tmp_path / "wheels" / "tinylib-1.0-py3-none-any.whl").unlink()
    _install(model_store, second)

    for version in ("1.0.0", "1.0.1"):
        package = root / f"tiny-{version}" / "tinylib"
        assert package.readlink() == folder / "tinylib"
        assert (package / "__init__.py").read_text() == "NUMBER = 42\n"


def test_pip_is_needed_until_the_requirements_are_here_for_any_release(
    model_store: LocalModelStore,
    tmp_path: Path,
    released: Callable[..., Blob],
) -> None:
    files = {"requirements.txt": write_wheel(tmp_path / "wheels")}
    first = released(model=REQUIRING, files=files)
    second = released(version="1.0.1", model=REQUIRING, files=files)
    plain = released(version="1.0.2")

    def needs(blob: Blob) -> bool:
        return model_store.needs_pip(
            blob.release,
            read_range=lambda offset, length: b"".join(blob.chunks(offset, length)),
        )

    assert [needs(blob) for blob in (first, second, plain)] == [True, True, False]

    _install(model_store, first)

    assert [needs(blob) for blob in (first, second, plain)] == [False, False, False]


def test_a_file_of_the_model_hides_a_package_of_its_name(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    released: Callable[..., Blob],
) -> None:
    requirement = write_wheel(tmp_path / "wheels")
    blob = released(
        model={"build": {**REQUIRING["build"], "extra_files": ["tinylib"]}},
        files={"requirements.txt": requirement, "tinylib/own.py": "OWN = 1\n"},
    )

    _install(model_store, blob)

    assert os.listdir(root / "tiny-1.0.0" / "tinylib") == ["own.py"]  # noqa: PTH208


def test_requirements_that_cannot_be_installed_are_told_in_pips_words(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    released: Callable[..., Blob],
) -> None:
    requirement = write_wheel(tmp_path / "wheels")
    wheel = tmp_path / "wheels" / "tinylib-1.0-py3-none-any.whl"
    data = wheel.read_bytes()
    wheel.unlink()
    blob = released(model=REQUIRING, files={"requirements.txt": requirement})

    with pytest.raises(OutsideError) as caught:
        _install(model_store, blob)

    (log,) = (root / ".model-servers" / "requirements").glob("*.log")
    assert str(caught.value) == (
        "pip cannot install the requirements: Could not install packages due to an "
        f"OSError: [Errno 2] No such file or directory: '{wheel}'"
    )
    assert caught.value.hint == f"read {log}"
    assert _visible(root) == []
    assert model_store.installed() == {}

    wheel.write_bytes(data)
    blob.ranges.clear()
    _install(model_store, blob)

    assert blob.ranges == []
    assert (root / "tiny-1.0.0" / "tinylib" / "__init__.py").is_file()


def test_a_python_that_does_not_run_is_named(
    root: Path, tmp_path: Path, released: Callable[..., Blob]
) -> None:
    model_store = LocalModelStore(root, python=str(tmp_path / "python"))
    blob = released(model=REQUIRING, files={"requirements.txt": "six\n"})

    with pytest.raises(OutsideError) as caught:
        _install(model_store, blob)

    assert str(caught.value).startswith(f"the Python {tmp_path}/python does not run: ")
    assert caught.value.hint == "correct torchserve.python in the host profile"
