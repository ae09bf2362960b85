"""Segments of archives: they cover large members without a gap."""

import pytest
from blake3 import blake3

import zoo
from adapters.packing import MIB, assert_segments_cover, build, content
from model_servers.core.segments import SEGMENT_MAX_BYTES, Run, covers


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
