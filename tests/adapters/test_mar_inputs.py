"""Archives depend on their inputs alone, and are there whole or not at all."""

import hashlib
import io
import json
import os
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import zoo
from adapters.packing import build, pack
from model_servers.adapters import bundled, mar
from model_servers.adapters.mar import MarWriter, source_archive
from model_servers.core.contribution import Digests
from model_servers.core.layout import (
    HANDLER_FILES,
    ManifestFile,
    Member,
    ModelFile,
    SourceArchive,
    handler_digest,
)
from model_servers.errors import OutsideError

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
