"""Ranges are copied byte for byte, and shared where a file system can share them."""

from __future__ import annotations

import io
import os
import subprocess

import pytest
import torch

import zoo
from adapters.packing import build
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


@pytest.fixture(scope="module")
def sharing(tmp_path_factory):
    try:
        with xfs(tmp_path_factory.mktemp("sharing")) as folder:
            yield folder
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no XFS can be made and mounted here: {error}")


@pytest.fixture(params=["any file system", "one that shares blocks"])
def folder(request, tmp_path):
    if request.param == "any file system":
        return tmp_path
    return request.getfixturevalue("sharing")


@pytest.mark.parametrize("start", [0, 1, BLOCK, BLOCK + 7])
@pytest.mark.parametrize("to", [0, 1, BLOCK, 3 * BLOCK + 7])
@pytest.mark.parametrize("length", [0, 1, BLOCK, 5 * BLOCK + 9, 10**6])
def test_a_range_is_copied_and_nothing_beside_it(folder, start, to, length):
    data, before = os.urandom(20 * BLOCK + 100), b"\xff" * 30 * BLOCK
    (folder / "source").write_bytes(data)
    (folder / "target").write_bytes(before)
    wanted = data[start : start + length]

    with (
        (folder / "source").open("rb") as source,
        (folder / "target").open("r+b") as at,
    ):
        count = copy_range(source.fileno(), start, at.fileno(), to, length)

    assert count == len(wanted)
    end = to + len(wanted)
    found = (folder / "target").read_bytes()
    assert found == before[:to] + wanted + before[end:]


def used_bytes(folder):
    os.sync()
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_a_build_takes_no_room_for_weights_that_the_disk_can_share(sharing):
    directory = zoo.make_model(sharing / "registry", "cat")
    (directory / "checkpoint.pt").write_bytes(os.urandom(64 * MIB + 5))
    before = used_bytes(sharing)

    built = build(directory, sharing / "out")

    assert built.path.stat().st_size > 64 * MIB
    assert used_bytes(sharing) - before < 8 * MIB


TENSORS = saved([torch.randn(MIB + 1) for _ in range(16)])


def released(folder, version, *, code=""):
    """Build a version of a model whose tensors begin at no block."""
    weights = {"checkpoint.pt": TENSORS, "handler_model.py": f"{code}{zoo.HANDLER}"}
    zoo.make_model(folder / version, "dog", version=version, files=weights)
    journey = Build(registry=Checkout(folder / version), writer=MarWriter())
    recipe = journey.recipe("dog")
    built = journey.write(recipe, folder / "built")
    return journey.release(recipe, built.archive), built.path


def test_a_release_of_code_takes_no_room_for_its_weights(sharing):
    old, path = released(sharing, "1.0.0")
    new, other = released(sharing, "1.0.1", code="# New.\n")
    content = other.read_bytes()
    before = used_bytes(sharing)
    archives = ArchiveFolder(path.parent)
    other.unlink()

    archives.bring(
        new,
        [old],
        chunks=lambda offset, length: iter([content[offset : offset + length]]),
        on_bytes=lambda _: None,
    )

    assert archives.is_whole(new)
    assert used_bytes(sharing) - before < 8 * MIB
