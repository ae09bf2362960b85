"""Archives built of model directories, or of files."""

from blake3 import blake3

import zoo
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.core.layout import Member, ModelFile
from model_servers.core.segments import SEGMENT_MAX_BYTES, covers
from model_servers.journeys.build import Build

MIB = 2**20


EVERYTHING = zoo.VARIANTS[-1]


def build(directory, folder):
    """Build the model in *directory* as `ms build` does."""
    journey = Build(registry=Checkout(directory.parent), writer=MarWriter())
    return journey.write(journey.recipe(directory.name), folder)


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


def content(data, segment):
    return b"".join(data[run.offset : run.end] for run in segment.runs)


def assert_segments_cover(member, data):
    assert covers(member.segments, member.run)
    for part in member.segments:
        assert part.length <= SEGMENT_MAX_BYTES
        assert part.blake3 == blake3(content(data, part)).hexdigest()
