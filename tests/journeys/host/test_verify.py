"""What has rotted on a host is found, and mended with as few bytes as can be."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fakes.small_host import Host
from model_servers.adapters import copying
from model_servers.adapters.trees import LocalTrees
from model_servers.core.entries import Layout
from model_servers.core.names import Ref
from model_servers.core.release import Release, release_key
from model_servers.errors import OutsideError
from model_servers.journeys.host.verify import Report, Rot, Verify
from zoo import checkpoint_of

CAT_1, CAT_2, DOG = map(Ref.parse, ["cat@1.0.0", "cat@2.0.0", "dog@1.0.0"])
MIB = 2**20

DIRECTORIES = pytest.mark.parametrize("layout", [Layout.DIR], indirect=True)
"""Only there can what runs rot: TorchServe's own copies of archives are not ours."""


class Seen:
    def __init__(self) -> None:
        self.keys: list[str] = []

    def checking(self, key: str, size_bytes: int) -> Callable[[int], None]:
        self.keys.append(key)
        return lambda count: None


@pytest.fixture
def host(tmp_path: Path, layout: Layout) -> Host:
    """A host with two versions of one model that share large weights, and another."""
    host = Host(tmp_path, layout=layout)
    weights = checkpoint_of(3 * MIB)
    for ref in (CAT_1, CAT_2):
        label = str(ref.version)
        host.publish(
            ref,
            files={"checkpoint.pt": weights, "labels.txt": label},
            model={"build": {"extra_files": ["labels.txt"]}},
        )
    host.publish(DOG)
    for ref in (CAT_1, CAT_2, DOG):
        host.install(ref)
        host.model_store.mark_answered(ref)
    return host


def verify(host: Host, **options: bool) -> Report:
    journey = Verify(
        trees=LocalTrees(host.root, python=sys.executable),
        store=host.store,
        releases=host.releases,
    )
    return journey.run(Seen(), **options)


def tree(host: Host, release: Release) -> Path:
    return host.root / ".model-servers" / "trees" / release.archive.sha256


def rot(file: Path, offset: int = 1000) -> None:
    """Flip a bit where a disk would: in the file's own bytes, whoever shares them."""
    file.chmod(0o644)
    with file.open("r+b") as stream:
        stream.seek(offset)
        byte = stream.read(1)[0]
        stream.seek(offset)
        stream.write(bytes([byte ^ 1]))
    file.chmod(0o444)


def member(release: Release, name: str) -> Path:
    (found,) = [one.path for one in release.archive.members if one.path.endswith(name)]
    return Path(found)


def test_a_host_as_it_was_installed_has_nothing_rotten(host: Host) -> None:
    report = verify(host)

    assert report.rots == []
    assert report.checked == 3
    assert report.hashed_bytes > 6 * MIB


def test_only_the_member_that_has_rotted_is_fetched(host: Host) -> None:
    dog = host.release(DOG)
    path = member(dog, "MANIFEST.json")
    good = (tree(host, dog) / path).read_bytes()
    rot(tree(host, dog) / path, offset=5)

    report = verify(host)

    assert report.rots == [
        Rot(ref="dog@1.0.0", members=(str(path),), fetched_bytes=len(good))
    ]
    assert (tree(host, dog) / path).read_bytes() == good
    assert (tree(host, dog) / path).stat().st_mode & 0o777 == 0o444
    assert verify(host).rots == []


def test_only_the_segment_that_has_rotted_is_fetched(tmp_path: Path) -> None:
    host = Host(tmp_path)
    weights = io.BytesIO()
    torch.save({name: torch.full((MIB,), float(ord(name))) for name in "abcd"}, weights)
    host.publish(CAT_1, files={"checkpoint.pt": weights.getvalue()})
    cat = host.install(CAT_1)
    rot(tree(host, cat) / member(cat, "checkpoint.pt"), offset=9 * MIB)

    report = verify(host)

    assert [one.fetched_bytes for one in report.rots] == [4 * MIB]
    assert verify(host).rots == []


def test_weights_that_several_versions_share_are_mended_in_each_of_them(
    host: Host,
) -> None:
    releases = [host.release(CAT_1), host.release(CAT_2)]
    files = [tree(host, one) / member(one, "checkpoint.pt") for one in releases]
    for file in files:
        rot(file, offset=2 * MIB)
        if files[0].samefile(files[1]):
            break

    report = verify(host)

    assert [one.ref for one in report.rots] == ["cat@1.0.0", "cat@2.0.0"]
    assert sum(one.fetched_bytes for one in report.rots) <= 3 * MIB + 200
    assert verify(host).rots == []


@DIRECTORIES
def test_what_a_model_runs_in_is_mended_too(host: Host) -> None:
    cat = host.release(CAT_1)
    path = member(cat, "checkpoint.pt")
    running = host.root / CAT_1.entry / path
    good = running.read_bytes()
    running.unlink()
    running.write_bytes(b"\0" + good[1:])

    report = verify(host)

    assert [one.members for one in report.rots] == [(str(path),)]
    assert report.rots[0].fetched_bytes == 0
    assert running.read_bytes() == good


def test_a_worker_that_has_mapped_the_old_file_keeps_it(host: Host) -> None:
    dog = host.release(DOG)
    file = tree(host, dog) / member(dog, "checkpoint.pt")
    rot(file)
    with file.open("rb") as mapped:
        before = mapped.read()

        verify(host)

        mapped.seek(0)
        assert mapped.read() == before


def test_a_mended_version_has_to_answer_its_golden_requests_again(host: Host) -> None:
    dog = host.release(DOG)
    rot(tree(host, dog) / member(dog, "checkpoint.pt"))

    verify(host)

    answered = {ref: one.answered for ref, one in host.model_store.installed().items()}
    assert answered == {CAT_1: True, CAT_2: True, DOG: False}


def test_a_missing_file_is_brought_back(host: Host) -> None:
    dog = host.release(DOG)
    file = tree(host, dog) / member(dog, "model-config.yaml")
    file.unlink()

    assert verify(host).unmended == []

    assert file.is_file()


def test_what_was_mended_is_shared_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat = host.release(CAT_1)
    file = tree(host, cat) / member(cat, "checkpoint.pt")
    rot(file)
    later_ns = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later_ns, later_ns))
    verify(host)
    host.publish(Ref.parse("cat@3.0.0"), files={"checkpoint.pt": file.read_bytes()})
    shared: list[Path] = []
    share = copying.share
    monkeypatch.setattr(
        copying, "share", lambda *files: (shared.append(files[0]), share(*files))
    )

    host.install(Ref.parse("cat@3.0.0"))

    mended = {tree(host, host.release(ref)) / file.name for ref in (CAT_1, CAT_2)}
    assert mended & set(shared)


def test_looking_changes_nothing(host: Host) -> None:
    dog = host.release(DOG)
    file = tree(host, dog) / member(dog, "checkpoint.pt")
    rot(file)
    before = file.read_bytes()

    report = verify(host, heal=False)

    assert [one.error for one in report.rots] == ["nothing was changed"]
    assert file.read_bytes() == before
    assert host.model_store.installed()[DOG].answered


@DIRECTORIES
def test_a_store_that_is_away_leaves_the_tree_as_it_was_and_stops_no_other(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    cat, dog = host.release(CAT_1), host.release(DOG)
    broken = tree(host, dog) / member(dog, "checkpoint.pt")
    rot(broken)
    running = host.root / CAT_1.entry / member(cat, "checkpoint.pt")
    running.unlink()

    def away(*arguments: object, **options: object) -> bytes:
        raise OutsideError("the store is away", hint="wait")

    monkeypatch.setattr(host.store, "stat", away)
    report = verify(host)

    assert {one.ref: one.error for one in report.rots} == {
        "cat@1.0.0": "",
        "dog@1.0.0": "the store is away",
    }
    assert broken.is_file()
    monkeypatch.undo()
    assert verify(host).unmended == []


@pytest.mark.parametrize("text", [None, b"{", b"[]"])
def test_a_damaged_record_is_written_anew(host: Host, text: bytes | None) -> None:
    dog = host.release(DOG)
    record = tree(host, dog).with_suffix(".json")
    if text is None:
        record.unlink()
    else:
        record.write_bytes(text)

    report = verify(host)

    assert report.rots == [Rot(ref="dog@1.0.0", members=("release.json",))]
    assert record.read_bytes() == dog.to_bytes()


def test_a_record_that_only_a_newer_ms_can_read_stops_no_other(host: Host) -> None:
    dog, cat = host.release(DOG), host.release(CAT_1)
    tree(host, dog).with_suffix(".json").unlink()
    rot(tree(host, cat) / member(cat, "checkpoint.pt"))
    key = release_key(DOG)
    newer = {**json.loads(host.store.objects[key]), "schema": 2}
    host.store.objects[key] = json.dumps(newer).encode()

    report = verify(host)

    assert [one.ref for one in report.unmended] == ["dog@1.0.0"]
    assert "schema is 2" in report.unmended[0].error
    assert verify(host).rots == report.unmended


def test_an_interrupted_mending_goes_on(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    dog = host.release(DOG)
    file = tree(host, dog) / member(dog, "checkpoint.pt")
    good = file.read_bytes()
    rot(file)
    real = os.fsync

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        verify(host)
    monkeypatch.setattr(os, "fsync", real)

    assert verify(host).unmended == []

    assert file.read_bytes() == good


@DIRECTORIES
def test_settings_of_this_host_are_no_rot_and_weights_beside_them_are_mended(
    host: Host,
) -> None:
    cat = host.install(CAT_1, batchSize=7)
    weights = host.root / CAT_1.entry / member(cat, "checkpoint.pt")
    assert verify(host).rots == []
    good = weights.read_bytes()
    weights.unlink()

    assert verify(host).unmended == []

    assert weights.read_bytes() == good
    assert host.model_store.serving(CAT_1).batch_size == 7


@DIRECTORIES
def test_small_files_that_a_model_runs_in_are_mended_as_its_own(host: Host) -> None:
    dog = host.release(DOG)
    config = host.root / DOG.entry / member(dog, "model-config.yaml")
    good = config.read_text()
    config.write_text("")

    report = verify(host)

    assert [one.members for one in report.rots] == [("model-config.yaml",)]
    assert config.read_text() == good
    # What the model writes there must not reach its tree.
    assert config.stat().st_nlink == 1
    assert verify(host).rots == []
