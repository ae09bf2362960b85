"""Archives on their way: right bytes, each read once, and only those asked for."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from model_servers.adapters.passing_archives import PassingArchives
from model_servers.core.names import Ref
from model_servers.core.release import Archive, Release, ReleasedMember
from model_servers.core.segments import Run, Segment
from model_servers.errors import OutsideError, RefusedError

DATA = random.Random(0).randbytes(500_000)
TENSORS = [Run(10_000 + number * 100_000, 90_000) for number in range(4)]
"""Before each are 10,000 bytes; all of these are one segment."""

MEMBER = Run(1_000, 489_000)


def content(*runs: Run) -> bytes:
    return b"".join(DATA[run.offset : run.end] for run in runs)


def sha256(*runs: Run) -> str:
    return hashlib.sha256(content(*runs)).hexdigest()


def release() -> Release:
    glue = (Run(1_000, 9_000), *(Run(100_000 * n, 10_000) for n in range(1, 4)))
    glue = (*glue, Run(400_000, 90_000))
    cuts = [*((run,) for run in TENSORS), glue]
    member = ReleasedMember(
        path="model.pt",
        offset=MEMBER.offset,
        length=MEMBER.length,
        sha256=sha256(MEMBER),
        segments=tuple(Segment(cut, blake3(content(*cut)).hexdigest()) for cut in cuts),
    )
    archive = Archive(
        size_bytes=len(DATA),
        sha256=sha256(Run(0, len(DATA))),
        members=(member,),
        framing_blake3=blake3(content(Run(0, 1_000), Run(490_000, 10_000))).hexdigest(),
    )
    return Release(
        ref=Ref.parse("cat@1.0.0"),
        archive=archive,
        inputs_digest="1" * 64,
        git_commit=None,
        toolchain={},
        resources={},
    )


class Source:
    """Gives the archive by range, and counts."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data = data
        self.given_bytes = 0

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        self.given_bytes += length
        yield self.data[offset : offset + length]


RANGES = st.tuples(st.integers(0, len(DATA) - 1), st.integers(1, 200_000))


@given(st.lists(RANGES, max_size=8))
@settings(max_examples=30, deadline=None)
def test_any_range_can_be_read_and_no_byte_comes_twice(
    tmp_path_factory: pytest.TempPathFactory, ranges: list[tuple[int, int]]
) -> None:
    source, folder = Source(), tmp_path_factory.mktemp("way")

    with PassingArchives(folder).opened(release(), (), chunks=source.chunks) as archive:
        found = [archive.read(*one) for one in ranges]

    assert found == [DATA[start : start + length] for start, length in ranges]
    assert source.given_bytes <= len(DATA)
    assert list(folder.iterdir()) == []


def test_only_the_segments_come_that_are_asked_for(tmp_path: Path) -> None:
    source, seen = Source(), []

    with PassingArchives(tmp_path).opened(
        release(), (), chunks=source.chunks
    ) as archive:
        wanted = [Run(TENSORS[1].offset + 5, 10), TENSORS[2]]
        missing_bytes = archive.missing_bytes(wanted)
        archive.bring(wanted, seen.append)
        archive.read(TENSORS[1].offset, 90_000)

        assert archive.missing_bytes(wanted) == 0
    assert missing_bytes == sum(seen) == 180_000
    assert source.given_bytes < 200_000


def test_a_part_of_a_damaged_segment_is_refused(tmp_path: Path) -> None:
    damaged = bytearray(DATA)
    damaged[TENSORS[1].end - 1] ^= 1
    source = Source(bytes(damaged))

    with PassingArchives(tmp_path).opened(
        release(), (), chunks=source.chunks
    ) as archive:
        assert archive.read(TENSORS[0].offset, 5) == DATA[10_000:10_005]
        with pytest.raises(OutsideError, match=r"wrong bytes came for 'model\.pt'"):
            archive.read(TENSORS[1].offset, 5)


def interrupted(archives: PassingArchives, source: Source) -> None:
    with (
        suppress(OutsideError),
        archives.opened(release(), (), chunks=source.chunks) as archive,
    ):
        archive.read(TENSORS[0].offset, 5)
        raise OutsideError("the target is gone", hint="run the command again")


def test_what_has_come_is_found_by_the_next_run(tmp_path: Path) -> None:
    archives, source = PassingArchives(tmp_path), Source()
    interrupted(archives, source)
    source.given_bytes = 0

    with archives.opened(release(), (), chunks=source.chunks) as archive:
        assert archive.read(*TENSORS[0]) == DATA[10_000:100_000]

    assert source.given_bytes == 0


def test_what_an_earlier_run_has_left_can_be_taken_away(tmp_path: Path) -> None:
    archives = PassingArchives(tmp_path)
    interrupted(archives, Source())
    assert list(tmp_path.iterdir()) != []

    archives.remove(release().ref)
    archives.remove(release().ref)

    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_pass_one_archive_on(tmp_path: Path) -> None:
    archives, source = PassingArchives(tmp_path), Source()

    with (
        archives.opened(release(), (), chunks=source.chunks),
        pytest.raises(RefusedError, match="another process"),
        archives.opened(release(), (), chunks=source.chunks),
    ):
        pass
