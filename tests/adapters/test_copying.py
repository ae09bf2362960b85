"""Ranges are copied byte for byte, and shared where a file system can share them."""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
import torch

import zoo
from adapters.packing import build
from fakes.sharing import Sharing
from model_servers.adapters.archive_folder import ArchiveFolder
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.copying import copy_range
from model_servers.adapters.mar import MarWriter
from model_servers.journeys.build import Build
from servers.xfs import xfs

MIB = 2**20
BLOCK = 4096


def saved(tensors):
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


class Xfs:
    """A file system that shares blocks."""

    def __init__(self, folder):
        self.folder = folder

    def used_bytes(self):
        subprocess.run(["sync", "--file-system", self.folder], check=True)
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize


def can_mount_xfs():
    try:
        with tempfile.TemporaryDirectory() as name, xfs(Path(name)):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


SHARING = ["emulated", *(["XFS"] if can_mount_xfs() else [])]
"""The real one stands beside its stand-in wherever this user may mount it."""


@pytest.fixture(scope="module")
def mounted(tmp_path_factory):
    with xfs(tmp_path_factory.mktemp("mounted")) as folder:
        yield folder


@pytest.fixture
def disk(request, tmp_path, monkeypatch):
    """A file system of the kind that the test names."""
    if request.param == "XFS":
        folder = request.getfixturevalue("mounted") / tmp_path.name
        folder.mkdir()
        return Xfs(folder)
    fake = Sharing(tmp_path)
    if request.param == "emulated":
        monkeypatch.setattr(os, "copy_file_range", fake.copy_file_range)
    return fake


@pytest.mark.parametrize("disk", ["shares nothing", *SHARING], indirect=True)
@pytest.mark.parametrize("start", [0, 1, BLOCK, BLOCK + 7])
@pytest.mark.parametrize("to", [0, 1, BLOCK, 3 * BLOCK + 7])
@pytest.mark.parametrize("length", [0, 1, BLOCK, 5 * BLOCK + 9, 10**6])
def test_a_range_is_copied_and_nothing_beside_it(disk, start, to, length):
    data, before = os.urandom(20 * BLOCK + 100), b"\xff" * 30 * BLOCK
    source, target = disk.folder / "source", disk.folder / "target"
    source.write_bytes(data)
    target.write_bytes(before)
    wanted = data[start : start + length]

    with source.open("rb") as one, target.open("r+b") as two:
        count = copy_range(one.fileno(), start, two.fileno(), to, length)

    assert count == len(wanted)
    end = to + len(wanted)
    assert target.read_bytes() == before[:to] + wanted + before[end:]


@pytest.mark.parametrize("disk", SHARING, indirect=True)
def test_a_build_takes_no_room_for_weights_that_the_disk_can_share(disk):
    directory = zoo.make_model(disk.folder / "registry", "cat")
    (directory / "checkpoint.pt").write_bytes(os.urandom(64 * MIB + 5))
    before = disk.used_bytes()

    built = build(directory, disk.folder / "out")

    assert built.path.stat().st_size > 64 * MIB
    assert disk.used_bytes() - before < 8 * MIB


TENSORS = saved([torch.randn(MIB + 1) for _ in range(16)])


def released(folder, version, *, code=""):
    """Build a version of a model whose tensors begin at no block."""
    weights = {"checkpoint.pt": TENSORS, "handler_model.py": f"{code}{zoo.HANDLER}"}
    zoo.make_model(folder / version, "dog", version=version, files=weights)
    journey = Build(registry=Checkout(folder / version), writer=MarWriter())
    recipe = journey.recipe("dog")
    built = journey.write(recipe, folder / "built")
    return journey.release(recipe, built.archive), built.path


@pytest.mark.parametrize("disk", SHARING, indirect=True)
def test_a_release_of_code_takes_no_room_for_its_weights(disk):
    old, path = released(disk.folder, "1.0.0")
    new, other = released(disk.folder, "1.0.1", code="# New.\n")
    content = other.read_bytes()
    other.unlink()
    before = disk.used_bytes()
    archives = ArchiveFolder(path.parent)

    archives.bring(
        new,
        [old],
        chunks=lambda offset, length: iter([content[offset : offset + length]]),
        on_bytes=lambda _: None,
    )

    assert archives.is_whole(new)
    assert disk.used_bytes() - before < 8 * MIB
