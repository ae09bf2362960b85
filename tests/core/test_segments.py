"""Segments: every byte once, small enough, and the same for the same tensors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_servers.core.segments import (
    SEGMENT_MAX_BYTES,
    Run,
    Segment,
    covers,
    cut,
    gaps,
)

MIB = 2**20


@st.composite
def files_with_tensors(draw):
    """Give a file's length and where its tensors are, which do not overlap."""
    sizes = st.integers(min_value=0, max_value=80 * MIB)
    pairs = draw(st.lists(st.tuples(st.integers(0, 10_000), sizes), max_size=30))
    tensors, end = [], 0
    for gap, length in pairs:
        tensors.append(Run(end + gap, length))
        end += gap + length
    return end + draw(st.integers(0, 40 * MIB)), draw(st.permutations(tensors))


def as_segments(cuts):
    return [Segment(runs, "") for runs in cuts]


@given(files_with_tensors())
def test_cuts_have_every_byte_once_and_are_never_too_large(file):
    length, tensors = file

    segments = as_segments(cut(length, tensors))

    assert covers(segments, Run(0, length))
    assert all(0 < part.length <= SEGMENT_MAX_BYTES for part in segments)
    assert segments == sorted(segments, key=lambda part: part.runs)


@given(
    st.integers(0, 200 * MIB),
    st.lists(st.builds(Run, st.integers(-9, 300 * MIB), st.integers(-9, 300 * MIB))),
)
def test_tensors_that_cannot_be_do_no_harm(length, tensors):
    segments = as_segments(cut(length, tensors))

    assert covers(segments, Run(0, length))
    assert all(part.length <= SEGMENT_MAX_BYTES for part in segments)


def test_a_file_without_tensors_is_cut_by_size():
    assert cut(2 * SEGMENT_MAX_BYTES + 5) == (
        (Run(0, SEGMENT_MAX_BYTES),),
        (Run(SEGMENT_MAX_BYTES, SEGMENT_MAX_BYTES),),
        (Run(2 * SEGMENT_MAX_BYTES, 5),),
    )
    assert cut(0) == ()


def test_large_tensors_are_alone_small_ones_together_and_the_rest_is_one_segment():
    large, small, tiny = 4 * MIB, 2000, 500
    tensors = [
        Run(100, large),
        Run(200 + large, small),
        Run(2300 + large, small),
        Run(4300 + large, tiny),
        Run(5000 + large, large),
    ]
    length = 5100 + 2 * large

    assert cut(length, tensors) == (
        (
            Run(0, 100),
            Run(100 + large, 100),
            Run(2200 + large, 100),
            Run(4300 + large, 700),
            Run(5000 + 2 * large, 100),
        ),
        (Run(100, large),),
        (Run(200 + large, small), Run(2300 + large, small)),
        (Run(5000 + large, large),),
    )


def test_tensors_without_a_gap_are_one_run():
    tensors = [Run(100 + 2000 * number, 2000) for number in range(5)]

    assert cut(11_000, tensors) == (
        (Run(0, 100), Run(10_100, 900)),
        (Run(100, 10_000),),
    )


def test_a_tensor_larger_than_a_segment_is_cut():
    tensor = Run(64, SEGMENT_MAX_BYTES + 10)

    assert cut(tensor.end, [tensor]) == (
        (Run(0, 64),),
        (Run(64, SEGMENT_MAX_BYTES),),
        (Run(64 + SEGMENT_MAX_BYTES, 10),),
    )


def test_a_huge_file_of_many_tensors_keeps_its_description_small():
    tensors = [Run(number * MIB, MIB - 64) for number in range(100_000)]

    cuts = cut(100_000 * MIB, tensors)

    assert len(cuts) < 4_000


def test_very_many_tensors_take_what_stands_before_them_along():
    header = 100
    tensors = [
        Run(header + number * 300_000, 300_000 - header) for number in range(5000)
    ]
    length = 5000 * 300_000 + 77

    first, *cuts = cut(length, tensors)

    assert first == (Run(0, header), Run(length - 77, 77))
    assert all(len(runs) == 1 for runs in cuts)
    ends = {run.end for run in tensors}
    assert all(run.end in ends and run.length > MIB / 2 for (run,) in cuts)


@pytest.mark.parametrize(
    ("runs", "left"),
    [
        ([], [Run(10, 20)]),
        ([Run(10, 20)], []),
        ([Run(12, 3), Run(15, 5)], [Run(10, 2), Run(20, 10)]),
        ([Run(10, 1), Run(29, 1)], [Run(11, 18)]),
    ],
)
def test_gaps_are_what_runs_leave(runs, left):
    assert gaps(runs, Run(10, 20)) == left
