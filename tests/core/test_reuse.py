"""Parts of a new archive: all of it, in order, and copied where the store has it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from model_servers.core.objects import Copied, Sent
from model_servers.core.release import Archive, ReleasedMember
from model_servers.core.reuse import (
    PART_MIN_BYTES,
    Run,
    heads,
    holdings,
    known_runs,
    plan_parts,
    wanted_members,
    whole_file,
)
from model_servers.core.segments import Run as Bytes
from model_servers.core.segments import Segment

MIB = 2**20


def member(path, offset, length, sha256, segments=()):
    return ReleasedMember(path, offset, length, sha256, tuple(segments))


def archive(*members):
    end = max(one.offset + one.length for one in members)
    return Archive(
        size_bytes=end + 1000,
        sha256="a" * 64,
        members=members,
        framing_sha256="b" * 64,
    )


def test_a_code_only_release_copies_the_weights_and_sends_the_rest():
    old = [member("model.pt", 4096, 100 * MIB, "w"), member("a.py", 105 * MIB, 9, "1")]
    new = archive(
        member("model.pt", 4096, 100 * MIB, "w"), member("a.py", 105 * MIB, 9, "2")
    )

    runs = known_runs(new, holdings("old.mar", old))

    assert runs == [Run(4096, Copied("old.mar", 4096, 100 * MIB))]
    assert list(heads(runs)) == [(runs[0], 4096)]
    assert plan_parts(new.size_bytes, [runs[0].extended(4096)]) == [
        Copied("old.mar", 0, 100 * MIB + 4096),
        Sent(100 * MIB + 4096, new.size_bytes - 100 * MIB - 4096),
    ]


def test_a_stored_checkpoint_lends_all_but_the_first_part():
    new = archive(member("model.pt", 4096, 100 * MIB, "w"))
    held = {"w": Copied("checkpoints/sha256/w", 0, 100 * MIB)}

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


def test_small_members_are_not_looked_for():
    new = archive(
        member("model.pt", 4096, 100 * MIB, "w"), member("a.py", 105 * MIB, 9, "1")
    )

    assert wanted_members(new, {}) == ["w"]
    assert wanted_members(new, {"w": Copied("old.mar", 4096, 100 * MIB)}) == []


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
