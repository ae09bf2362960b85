"""Archives: real zip files whose bytes depend on their inputs alone."""

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib

import pytest

import zoo
from adapters.packing import assert_segments_cover, build, pack
from model_servers.adapters import bundled
from model_servers.adapters.mar_layout import Input, Layout
from model_servers.adapters.zip_format import Entry, directory_entry, end, local_header
from model_servers.core.layout import Member, ModelFile

# Anybody can read it


@pytest.mark.parametrize("variant", zoo.VARIANTS, ids=str)
def test_every_kind_of_model_becomes_a_sound_zip(tmp_path, variant):
    built = build(variant.make(tmp_path / "registry"), tmp_path / "out")

    with zipfile.ZipFile(built.path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        stored = {info.compress_type for info in archive.infolist()}
    assert names == [member.path for member in built.archive.members]
    assert stored == {zipfile.ZIP_STORED}


@pytest.mark.skipif(not shutil.which("unzip"), reason="unzip is not installed")
@pytest.mark.parametrize("variant", zoo.VARIANTS, ids=str)
def test_unzip_finds_no_fault(tmp_path, variant):
    built = build(variant.make(tmp_path / "registry"), tmp_path / "out")

    told = subprocess.run(
        ["unzip", "-t", built.path], capture_output=True, text=True, check=False
    )

    assert told.returncode == 0
    assert told.stderr == ""
    assert "No errors detected" in told.stdout


def local_headers(path):
    """Read what stands before each member's data, by the directory at the end."""
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            fields = struct.unpack_from("<IHHHHHIIIHH", data, info.header_offset)
            yield info, fields, info.header_offset + 30 + fields[9] + fields[10]


def test_sizes_stand_before_the_data_and_never_after_it(everything):
    ends = [0]
    for info, fields, start in local_headers(everything.path):
        signature, _, flags, method, _, _, crc, packed, size, *_ = fields
        assert signature == 0x04034B50
        assert flags & 0x08 == 0, "a data descriptor"
        assert (method, crc, packed, size) == (0, info.CRC, *[info.file_size] * 2)
        assert info.header_offset == ends[-1], "something stands between members"
        ends.append(start + size)

    with zipfile.ZipFile(everything.path) as archive:
        assert archive.start_dir == ends[-1]
        assert archive.comment == b""


def test_times_modes_and_systems_are_always_the_same(everything):
    with zipfile.ZipFile(everything.path) as archive:
        facts = {
            (info.date_time, info.external_attr >> 16, info.create_system)
            for info in archive.infolist()
        }

    assert facts == {((1980, 1, 1, 0, 0, 0), 0o100644, 3)}


def test_the_checkpoint_comes_first_with_its_data_at_offset_4096(everything):
    (_, _, start), *_ = local_headers(everything.path)

    first = everything.archive.members[0]
    assert (first.path, first.offset, start) == ("checkpoint.pt", 4096, 4096)
    data = everything.path.read_bytes()
    assert data[4096 : 4096 + len(zoo.CHECKPOINT)] == zoo.CHECKPOINT


@pytest.mark.parametrize("length", [1, 8, 100, 4000, 4062, 4063, 5000])
def test_the_first_data_is_aligned_whatever_its_name(tmp_path, length):
    member = Member("n" * length, ModelFile("a"))

    archive = pack(tmp_path, {"a": b"data"}, members=[member])

    assert archive.members[0].offset % 4096 == 0
    with zipfile.ZipFile(tmp_path / "out.mar") as read:
        assert read.read("n" * length) == b"data"


def test_names_may_have_any_letters(tmp_path):
    archive = pack(tmp_path, {"größe/日本.txt": b"1"})

    assert archive.members[0].path == "größe/日本.txt"
    with zipfile.ZipFile(tmp_path / "out.mar") as read:
        assert read.read("größe/日本.txt") == b"1"


# What is said of it is true


@pytest.mark.parametrize("variant", zoo.VARIANTS, ids=str)
def test_offsets_lengths_and_digests_are_true_for_every_member(tmp_path, variant):
    built = build(variant.make(tmp_path / "registry"), tmp_path / "out")

    data = built.path.read_bytes()
    assert built.archive.size_bytes == len(data)
    assert built.archive.sha256 == hashlib.sha256(data).hexdigest()
    with zipfile.ZipFile(built.path) as archive:
        for member in built.archive.members:
            content = data[member.offset : member.offset + member.length]
            assert content == archive.read(member.path)
            assert member.sha256 == hashlib.sha256(content).hexdigest()
            assert_segments_cover(member, data)


# Large archives


def test_a_member_of_more_than_4_gib_and_what_follows_it_are_zip64(tmp_path):
    """The data is a hole: only its digest would take time, so it is made up."""
    size, small = 5 * 2**30, b"after the large one"
    large = Entry("weights.pt", size, 0)
    after = Entry("after.txt", len(small), zlib.crc32(small))
    path = tmp_path / "large.mar"
    with path.open("wb") as stream:
        stream.write(local_header(large, 0, align=True))
        start = stream.tell()
        second = stream.seek(size, os.SEEK_CUR)
        stream.write(local_header(after, second, align=False) + small)
        directory = stream.tell()
        entries = directory_entry(large, 0) + directory_entry(after, second)
        stream.write(entries + end(2, directory, len(entries)))

    with zipfile.ZipFile(path) as archive:
        facts = [(i.filename, i.file_size, i.header_offset) for i in archive.infolist()]
        assert archive.read("after.txt") == small
        with archive.open("weights.pt") as stream:
            assert stream.read(10) == bytes(10)
    assert start == 4096
    assert facts == [("weights.pt", size, 0), ("after.txt", len(small), second)]
    if shutil.which("unzip"):
        listed = subprocess.run(
            ["unzip", "-p", path, "after.txt"], capture_output=True, check=False
        )
        assert (listed.stdout, listed.stderr) == (small, b"")


def test_more_members_than_a_plain_zip_can_count(tmp_path):
    empty = Input.of_bytes("", b"").digests
    inputs = [Input(f"{i}", empty, b"") for i in range(0x10000)]
    path = tmp_path / "many.mar"

    with path.open("w+b") as stream:
        Layout.of(inputs).written(stream.fileno())

    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 0x10000
    data = path.read_bytes()
    zip64_end = data.rindex(b"PK\x06\x06")
    assert struct.unpack_from("<QQ", data, zip64_end + 24) == (0x10000, 0x10000)
    assert struct.unpack_from("<HH", data, len(data) - 14) == (0xFFFF, 0xFFFF)


def test_small_archives_are_plain_zips(everything):
    data = everything.path.read_bytes()

    assert b"PK\x06\x06" not in data[everything.archive.members[-1].offset :]
    assert all(fields[1] == 20 for _, fields, _ in local_headers(everything.path))


# The official archiver is the oracle


def archived_officially(directory, folder, *, parts, extra_files):
    """Archive a model with torch-model-archiver; its traps are stepped around."""
    (folder / "scratch").mkdir(parents=True)
    # It drops a directory's own name, so the handler's package stands in another.
    shared = folder / "shared"
    shutil.copytree(
        bundled.handler(),
        shared,
        ignore=shutil.ignore_patterns("__pycache__", "build.sh"),
    )
    (shared / "base_handler.py").rename(folder / "base_handler.py")
    flags = {
        "model-name": "tiny",
        "version": "1.0.0",
        # With ".py", or as the built-in's bare name, it would not be packed.
        "handler": "./base_handler:handle",
        "model-file": directory / parts["model_file"],
        "config-file": directory / parts["config_file"],
        "export-path": folder,
        "extra-files": ",".join(map(str, [shared, *extra_files])),
    }
    for flag, part in (
        ("serialized-file", "checkpoint_file"),
        ("requirements-file", "requirements_file"),
    ):
        if part in parts:
            flags[flag] = directory / parts[part]
    arguments = [text for flag, at in flags.items() for text in (f"--{flag}", str(at))]
    subprocess.run(
        [sys.executable, "-m", "model_archiver.model_packaging", *arguments],
        cwd=folder,
        # It empties and removes <temporary directory>/<model name>.
        env={**os.environ, "TMPDIR": str(folder / "scratch")},
        check=True,
        capture_output=True,
    )
    return folder / "tiny.mar"


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize(
    ("files", "parts", "extra"),
    [
        pytest.param(
            {**zoo.SOURCES, "labels.txt": "cat\n", "requirements.txt": "six\n"},
            {
                "requirements_file": "requirements.txt",
                "extra_files": ["labels.txt", "library"],
            },
            True,
            id="all parts, extra files in directories",
        ),
        pytest.param({}, {}, False, id="plain"),
        pytest.param(
            {"checkpoint.pt": None},
            {"checkpoint_file": None},
            False,
            id="no checkpoint",
        ),
    ],
)
def test_the_official_archiver_packs_the_same(tmp_path, files, parts, extra):
    directory = zoo.make_model(
        tmp_path / "registry", files=files, model={"build": parts}
    )
    extra_files = []
    if extra:
        # It drops a directory's own name, so the directory is put into another.
        shutil.copytree(directory / "library", tmp_path / "extra" / "library")
        extra_files = [directory / "labels.txt", tmp_path / "extra"]

    built = build(directory, tmp_path / "ours")
    official = archived_officially(
        directory,
        tmp_path / "official",
        parts=zoo.model_document(build=parts)["build"],
        extra_files=extra_files,
    )

    ours, theirs = contents(built.path), contents(official)
    our_manifest, their_manifest = (
        json.loads(found.pop("MAR-INF/MANIFEST.json")) for found in (ours, theirs)
    )
    golden = {name for name in ours if name.startswith("MAR-INF/golden/")}
    assert golden == {"MAR-INF/golden/case.yaml"}
    assert {name: ours[name] for name in ours.keys() - golden} == theirs
    assert our_manifest["runtime"] == their_manifest["runtime"]
    assert our_manifest["model"] == their_manifest["model"]
    assert our_manifest.keys() - their_manifest.keys() == {"modelServers"}
    assert their_manifest.keys() <= our_manifest.keys()
