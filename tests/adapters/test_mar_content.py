"""Archives that are not written have the same bytes, until an input changes."""

import mmap
import os
import shutil

import pytest

import zoo
from adapters.packing import EVERYTHING, MIB, build
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.errors import OutsideError
from model_servers.journeys.build import Build


@pytest.mark.parametrize("variant", zoo.VARIANTS, ids=str)
def test_an_archive_that_is_not_written_has_the_same_bytes(tmp_path, variant):
    directory = variant.make(tmp_path / "registry")
    built = build(directory, tmp_path / "out")
    journey = Build(registry=Checkout(directory.parent), writer=MarWriter())

    archive, content = journey.content(journey.recipe(directory.name))

    data = built.path.read_bytes()
    assert archive == built.archive
    assert content.size_bytes == len(data)
    assert content.read(0, len(data) + 5) == data
    for start, length in [(0, 1), (29, 70), (4_090, 20), (len(data) - 3, 9)]:
        assert content.read(start, length) == data[start : start + length]
    step = max(1, len(data) // 37)
    pieces = [content.read(start, step) for start in range(0, len(data), step)]
    assert b"".join(pieces) == data


@pytest.fixture
def hashed(tmp_path):
    """Give the checkpoint's file, its place, and the archive's content."""
    directory = EVERYTHING.make(tmp_path / "registry")
    with (directory / "checkpoint.pt").open("ab") as stream:
        stream.write(b"weights" * 700_000)
    file = directory / "checkpoint.pt"
    with file.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as mapping:
        # Pages that are to be written to the disk already: more writes change no time.
        mapping[:] = bytes(mapping)
        journey = Build(registry=Checkout(directory.parent), writer=MarWriter())
        archive, content = journey.content(journey.recipe(directory.name))
        yield file, archive.members[0], content, mapping


def swapped(file, _):
    other = file.with_name("other")
    other.write_bytes(bytes(file.stat().st_size))
    shutil.copystat(file, other)
    other.replace(file)


def mapped(_, mapping):
    mapping[-1] ^= 1


def cut(file, _):
    os.truncate(file, file.stat().st_size - 1)


@pytest.mark.parametrize("change", [swapped, mapped, cut])
def test_a_file_that_changes_after_it_was_hashed_is_not_given(hashed, change):
    file, member, content, mapping = hashed
    end = member.offset + member.length
    assert len(content.read(end - 3 * MIB, 3 * MIB)) == 3 * MIB

    change(file, mapping)

    with pytest.raises(OutsideError, match="changed after it was hashed"):
        content.read(end - 10, 10)


def test_bytes_that_are_the_same_are_given_whoever_has_touched_the_file(hashed):
    file, member, content, _ = hashed
    data = file.read_bytes()
    for start in (0, 1, MIB // 8 - 1, MIB // 8, MIB + 1, len(data) - 5):
        for length in (0, 1, 2, MIB // 8, 2 * MIB + 3):
            wanted = data[start : start + length]

            file.write_bytes(data)

            assert content.read(member.offset + start, len(wanted)) == wanted


def test_a_file_that_cannot_be_read_any_more_is_the_outsides_fault(hashed):
    file, member, content, _ = hashed
    file.unlink()
    file.mkdir()

    with pytest.raises(OutsideError, match=f"{file} cannot be read: Is a directory"):
        content.read(member.offset, 10)
