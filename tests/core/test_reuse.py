"""Parts of a new archive: all of it, in order, and copied where the store has it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_servers.core.objects import Copied, Sent
from model_servers.core.release import Archive, ReleasedMember
from model_servers.core.reuse import (
    PART_MIN_BYTES,
    Held,
    Run,
    heads,
    holdings,
    joined,
    known_runs,
    plan_parts,
    wanted_members,
    whole_file,
)
from model_servers.core.segments import Run as Bytes
from model_servers.core.segments import Segment, cut

MIB = 2**20


def member(path, offset, length, sha256, segments=()):
    return ReleasedMember(path, offset, length, sha256, tuple(segments))


def archive(*members):
    end = max(one.offset + one.length for one in members)
    return Archive(
        size_bytes=end + 1000,
        sha256="a" * 64,
        members=members,
        framing_blake3="b" * 64,
    )


def test_a_code_only_release_copies_the_weights_and_sends_the_rest():
    old = [member("model.pt", 4096, 100 * MIB, "w"), member("a.py", 105 * MIB, 9, "1")]
    new = archive(
        member("model.pt", 4096, 100 * MIB, "w"), member("a.py", 105 * MIB, 9, "2")
    )

    runs = known_runs(new, holdings("old.mar", old))

    assert runs == [Run(4096, Copied("old.mar", 4096, 100 * MIB))]
    assert list(heads(runs)) == [Run(0, Copied("old.mar", 0, 4096))]
    assert plan_parts(new.size_bytes, joined([*runs, *heads(runs)])) == [
        Copied("old.mar", 0, 100 * MIB + 4096),
        Sent(100 * MIB + 4096, new.size_bytes - 100 * MIB - 4096),
    ]


def test_a_stored_checkpoint_lends_all_but_the_first_part():
    new = archive(member("model.pt", 4096, 100 * MIB, "w"))
    held = {"w": [Held("checkpoints/sha256/w", (Bytes(0, 100 * MIB),))]}

    runs = known_runs(new, held)

    assert list(heads(runs)) == []
    assert plan_parts(new.size_bytes, runs) == [
        Sent(0, PART_MIN_BYTES),
        Copied(
            "checkpoints/sha256/w",
            PART_MIN_BYTES - 4096,
            100 * MIB - PART_MIN_BYTES + 4096,
        ),
        Sent(100 * MIB + 4096, 1000),
    ]


def test_a_stored_checkpoint_of_another_size_lends_nothing():
    new = archive(member("model.pt", 4096, 100 * MIB, "w"))
    held = {"w": [Held("checkpoints/sha256/w", (Bytes(0, 99 * MIB),))]}

    assert known_runs(new, held) == []


def test_segments_that_follow_each_other_there_and_here_are_one_run():
    def segments(changed):
        return [
            Segment((Bytes(4096 + number * 8 * MIB, 8 * MIB),), digest)
            for number, digest in enumerate(["1", "2", changed, "4", "5"])
        ]

    old = member("model.pt", 4096, 40 * MIB, "old", segments("3"))
    new = member("model.pt", 4096, 40 * MIB, "new", segments("other"))

    runs = known_runs(archive(new), holdings("old.mar", [old]))

    assert runs == [
        Run(4096, Copied("old.mar", 4096, 16 * MIB)),
        Run(4096 + 24 * MIB, Copied("old.mar", 4096 + 24 * MIB, 16 * MIB)),
    ]


HEADER = 64
BERT = [size for _ in range(12) for size in [2_359_296, 3_072] * 4 + [9_437_184] * 2]
EXPERTS = [size for _ in range(20) for size in [8_388_608] * 4 + [4_194_304] * 192]


def fine_tuned(sizes, glue):
    """Give a checkpoint's archives before and after its last tensor has changed.

    Args:
        sizes: of the tensors, each of which has a header.
        glue: the digest of the headers afterwards; before it is ``old``.
    """
    tensors, end = [], 0
    for size in sizes:
        tensors.append(Bytes(end + HEADER, size))
        end = tensors[-1].end
    cuts = cut(end, tensors)
    last = tensors[-1]

    def whole(name, glue):
        def digest(number, runs):
            if runs[0].offset == 0:
                return glue
            return name if runs[-1].end > last.offset else str(number)

        segments = [
            Segment(runs, digest(number, runs)).moved(4096)
            for number, runs in enumerate(cuts)
        ]
        return archive(member("model.pt", 4096, end, name, segments))

    return whole("before", "old"), whole("after", glue)


def sent_bytes(new, runs):
    parts = plan_parts(new.size_bytes, runs)
    return sum(part.length for part in parts if isinstance(part, Sent))


@pytest.mark.parametrize("sizes", [BERT, EXPERTS], ids=["transformer", "experts"])
def test_a_fine_tune_of_the_last_tensor_sends_little_more_than_that(sizes):
    old, new = fine_tuned(sizes, "other")

    runs = known_runs(new, holdings("old.mar", old.members))
    # The zip's header before the checkpoint has its CRC, so it is another one.
    same = [head for head in heads(runs) if head.offset > 0]

    assert len(same) <= len(sizes)
    assert sum(run.source.length for run in same) < 2**20
    assert sent_bytes(new, joined([*runs, *same])) < sizes[-1] + 2 * PART_MIN_BYTES


def test_headers_with_a_known_digest_need_not_be_compared():
    old, new = fine_tuned(EXPERTS, "old")

    runs = known_runs(new, holdings("old.mar", old.members))

    assert list(heads(runs)) == [Run(0, Copied("old.mar", 0, 4096))]
    assert sent_bytes(new, runs) < EXPERTS[-1] + 2 * PART_MIN_BYTES


def test_of_equal_tensors_each_is_copied_from_its_own_place():
    def segments(last):
        digests = ["1", "mask", "2", "mask", "3", "mask", last]
        for number, digest in enumerate(digests):
            yield Segment((Bytes(4096 + number * 4 * MIB, 4 * MIB),), digest)

    old = member("model.pt", 4096, 28 * MIB, "old", segments("4"))
    new = member("model.pt", 4096, 28 * MIB, "new", segments("other"))

    runs = known_runs(archive(new), holdings("old.mar", [old]))

    assert runs == [Run(4096, Copied("old.mar", 4096, 24 * MIB))]


def test_nothing_is_compared_that_would_not_make_a_part():
    held = [Run(offset, Copied("old.mar", offset, MIB)) for offset in (100, MIB + 200)]

    assert list(heads(held)) == []


def test_small_members_are_not_looked_for():
    new = archive(
        member("model.pt", 4096, 100 * MIB, "w"), member("a.py", 105 * MIB, 9, "1")
    )

    assert wanted_members(new, {}) == ["w"]
    assert wanted_members(new, holdings("old.mar", new.members)) == []


def test_an_empty_file_is_one_part():
    assert whole_file(0) == [Sent(0, 0)]


SIZES = st.integers(1, 40 * MIB)


@given(st.lists(st.tuples(SIZES, SIZES), max_size=6), SIZES)
def test_parts_cover_the_object_and_are_as_large_as_a_store_wants(pieces, tail):
    runs, end = [], 0
    for gap, length in pieces:
        runs.append(Run(end + gap, Copied("old.mar", end + gap, length)))
        end += gap + length
    size_bytes = end + tail

    parts = plan_parts(size_bytes, runs)

    # The old object has the same bytes at the same places, so offsets tell them.
    done = 0
    for part in parts:
        assert part.offset == done
        done += part.length
    assert done == size_bytes
    assert all(part.length >= PART_MIN_BYTES for part in parts[:-1])


def test_even_the_largest_archive_has_few_enough_parts():
    assert len(whole_file(5 * 2**40)) <= 10_000


def test_an_archive_of_which_every_other_tensor_changed_has_few_enough_parts():
    step = 12 * MIB
    runs = [
        Run(start, Copied("old.mar", start, step // 2))
        for start in range(0, 2**40, step)
    ]

    assert len(plan_parts(2**40, runs)) <= 10_000
