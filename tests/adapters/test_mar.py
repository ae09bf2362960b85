"""Archives: real zip files whose bytes depend on their inputs alone."""

import hashlib
import io
import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from model_servers.adapters import bundled, mar
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter, source_archive
from model_servers.adapters.mar_layout import Input, Layout
from model_servers.adapters.zip_format import Entry, directory_entry, end, local_header
from model_servers.core.contribution import Digests
from model_servers.core.layout import (
    HANDLER_FILES,
    ManifestFile,
    Member,
    ModelFile,
    SourceArchive,
    handler_digest,
)
from model_servers.core.segments import SEGMENT_MAX_BYTES, Run, covers
from model_servers.errors import OutsideError
from model_servers.journeys.build import Build

MIB = 2**20
EVERYTHING = zoo.VARIANTS[-1]


def build(directory, folder):
    """Build the model in *directory* as `ms build` does."""
    journey = Build(registry=Checkout(directory.parent), writer=MarWriter())
    return journey.write(journey.recipe(directory.name), folder)


@pytest.fixture
def everything(tmp_path):
    return build(EVERYTHING.make(tmp_path / "registry"), tmp_path / "out")


def pack(tmp_path, files, *, members=None, digests=None):
    """Write files of *tmp_path*/in into an archive, in the order given."""
    folder = tmp_path / "in"
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    checkout = Checkout(tmp_path)
    return MarWriter().write(
        tmp_path / "out.mar",
        members or [Member(path, ModelFile(path)) for path in files],
        locate=lambda path: folder / path,
        digests=digests or (lambda path: checkout.digests("in", path)),
        manifest=lambda digest: {"handler": digest},
    )


# Without a file


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


def content(data, segment):
    return b"".join(data[run.offset : run.end] for run in segment.runs)


def assert_segments_cover(member, data):
    assert covers(member.segments, member.run)
    for part in member.segments:
        assert part.length <= SEGMENT_MAX_BYTES
        assert part.blake3 == blake3(content(data, part)).hexdigest()


def test_with_the_framing_every_byte_has_a_digest(everything):
    data, archive = everything.path.read_bytes(), everything.archive

    assert covers(
        [archive.framing, *(part for m in archive.members for part in m.segments)],
        Run(0, len(data)),
    )
    framing = blake3(content(data, archive.framing))
    assert archive.framing.blake3 == framing.hexdigest()


def zeros(file, size_bytes):
    with file.open("wb") as stream:
        stream.truncate(size_bytes)


@pytest.mark.parametrize(
    ("size_bytes", "count"),
    [
        pytest.param(SEGMENT_MAX_BYTES, 1, id="just one"),
        pytest.param(SEGMENT_MAX_BYTES + 1, 2, id="one byte more"),
        pytest.param(2 * SEGMENT_MAX_BYTES, 2, id="exactly two"),
        pytest.param(2 * SEGMENT_MAX_BYTES + MIB // 3, 3, id="a rest"),
    ],
)
def test_segments_cover_a_large_member_without_gap(tmp_path, size_bytes, count):
    directory = zoo.make_model(tmp_path / "registry")
    zeros(directory / "checkpoint.pt", size_bytes)

    built = build(directory, tmp_path / "out")

    large = built.archive.members[0]
    assert (large.path, large.length, len(large.segments)) == (
        "checkpoint.pt",
        size_bytes,
        count,
    )
    assert_segments_cover(large, built.path.read_bytes())


def test_a_large_source_archive_has_segments_too(tmp_path):
    directory = zoo.make_model(
        tmp_path / "registry",
        files={"library/a.bin": b""},
        model={"build": {"extra_files": ["library"]}},
        config={"system": {"extraFiles": "library.tar"}},
    )
    zeros(directory / "library/a.bin", SEGMENT_MAX_BYTES + MIB)

    built = build(directory, tmp_path / "out")

    (large,) = (m for m in built.archive.members if m.path == "library.tar")
    assert len(large.segments) == 2
    assert_segments_cover(large, built.path.read_bytes())


# The same inputs, the same bytes


FILES = {"a.py": b"a = 1\n", "deep/b.py": b"", "deep/c.txt": b"c" * 300, "d": b"\0"}


def make_with_sources(registry, files):
    return zoo.make_model(
        registry,
        files={f"library/{path}": data for path, data in files.items()},
        model={"build": {"extra_files": ["library"]}},
        config={"system": {"extraFiles": "library.tar.gz"}},
    )


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    return build(make_with_sources(folder / "registry", FILES), folder / "out")


@settings(max_examples=25)
@given(
    order=st.permutations(sorted(FILES)),
    mtime=st.integers(0, 2**33),
    mode=st.sampled_from([0o600, 0o644, 0o755]),
    umask=st.sampled_from([0o000, 0o022, 0o077]),
    title=st.sampled_from(["a", "Zz", "some where"]),
)
def test_an_archive_depends_on_names_and_contents_alone(
    tmp_path_factory, reference, *, order, mtime, mode, umask, title
):
    folder = tmp_path_factory.mktemp("place") / title
    before = os.umask(umask)
    try:
        directory = make_with_sources(
            folder / "registry", {path: FILES[path] for path in order}
        )
        for path in filter(Path.is_file, directory.rglob("*")):
            path.chmod(mode)
            os.utime(path, (mtime, mtime))
        built = build(directory, folder / "out")
    finally:
        os.umask(before)

    assert built.archive == reference.archive
    assert built.path.read_bytes() == reference.path.read_bytes()


def test_releases_of_one_checkpoint_share_everything_up_to_its_end(tmp_path):
    old, new = (
        build(
            zoo.make_model(tmp_path / version, version=version, files=files),
            tmp_path / version,
        )
        for version, files in (
            ("1.0.0", {}),
            ("1.0.1", {"handler_model.py": zoo.HANDLER + "# new\n"}),
        )
    )

    end = 4096 + len(zoo.CHECKPOINT)
    assert old.archive.sha256 != new.archive.sha256
    assert old.path.read_bytes()[:end] == new.path.read_bytes()[:end]


@pytest.mark.parametrize(
    "name", [pytest.param(n, id=n) for n in ("a.tar", "a.tar.gz", "a.tgz")]
)
def test_a_source_archive_can_be_unpacked_and_depends_on_its_files_alone(name):
    data = source_archive(name, FILES)

    assert data == source_archive(name, dict(reversed(FILES.items())))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {
            entry.name: archive.extractfile(entry).read()
            for entry in archive.getmembers()
        }
        facts = {
            (e.mtime, e.mode, e.uid, e.gid, e.uname, e.gname)
            for e in archive.getmembers()
        }
    assert found == FILES
    assert facts == {(0, 0o644, 0, 0, "", "")}


def test_a_source_archive_is_the_same_with_every_version_of_python_and_zlib():
    data = source_archive("a.tar.gz", FILES)

    expected = "37ee0a90c9735782dd6d477ebb086106aa925ef32af6c54e60538f607806712e"
    assert hashlib.sha256(data).hexdigest() == expected


@pytest.mark.parametrize("size", [0, 1, 0xFFFF, 0x10000, 200_000])
def test_a_stored_gzip_is_a_gzip(size):
    tar = source_archive("a.tar", {"a": os.urandom(size)})

    packed = mar._stored_gzip(tar)  # what source_archive wraps

    assert zlib.decompress(packed, wbits=31) == tar


# When something goes wrong


def stale(path):
    """Give the digests of a file as it was before it changed."""
    return Digests(size_bytes=4, sha256="00" * 32, crc32=0)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(ModelFile("a"), id="a member"),
        pytest.param(SourceArchive(("a",)), id="a file of the source archive"),
    ],
)
@pytest.mark.parametrize("data", [b"data", b"longer", b""])
def test_an_input_that_changes_while_it_is_packed_is_refused(tmp_path, data, source):
    member = Member("a.tar", source)

    with pytest.raises(OutsideError) as caught:
        pack(tmp_path, {"a": data}, members=[member], digests=stale)

    path = tmp_path / "in" / "a"
    assert str(caught.value) == f"{path} changed after it was hashed"
    hint = "run the command again when nothing writes to the file"
    assert caught.value.hint == hint
    assert listed(tmp_path) == ["in"]


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def broken(path):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("digests", "error"),
    [
        pytest.param(stale, OutsideError, id="refused"),
        pytest.param(broken, KeyboardInterrupt, id="interrupted"),
    ],
)
def test_what_was_there_stays_until_the_new_archive_is_complete(
    tmp_path, digests, error
):
    target = tmp_path / "out.mar"
    target.write_bytes(b"old")

    with pytest.raises(error):
        pack(tmp_path, {"a": b"data"}, digests=digests)

    assert target.read_bytes() == b"old"
    assert listed(tmp_path) == ["in", "out.mar"]
    pack(tmp_path, {"a": b"data"})
    assert zipfile.is_zipfile(target)


def test_a_target_that_cannot_be_written_is_the_outsides_fault(tmp_path):
    (tmp_path / "out.mar").mkdir()

    with pytest.raises(OutsideError) as caught:
        pack(tmp_path, {"a": b"data"})

    target = tmp_path / "out.mar"
    assert str(caught.value) == f"{target} cannot be written: Is a directory"
    assert listed(tmp_path) == ["in", "out.mar"]


def test_the_toolchain_names_the_handler_that_was_packed(everything):
    with zipfile.ZipFile(everything.path) as archive:
        packed = {path: archive.read(path) for path in HANDLER_FILES}
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))

    assert packed == {
        path: (bundled.handler() / path).read_bytes() for path in HANDLER_FILES
    }
    digest = handler_digest(
        {path: hashlib.sha256(data).hexdigest() for path, data in packed.items()}
    )
    assert MarWriter().toolchain()["handler_sha256"] == digest
    assert manifest["modelServers"]["handlerDigest"] == digest


def test_every_file_of_the_handler_is_packed_but_not_the_build_script():
    folder = bundled.handler()
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert there - {"build.sh"} == set(HANDLER_FILES)
    assert len(HANDLER_FILES) == len(set(HANDLER_FILES))


def test_the_manifest_is_given_the_handlers_digest(tmp_path):
    member = Member("MAR-INF/MANIFEST.json", ManifestFile())

    pack(tmp_path, {}, members=[member])

    with zipfile.ZipFile(tmp_path / "out.mar") as archive:
        text = archive.read(member.path).decode()
    digest = MarWriter().toolchain()["handler_sha256"]
    assert text == f'{{\n  "handler": "{digest}"\n}}\n'


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
