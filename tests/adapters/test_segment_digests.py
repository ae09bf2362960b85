"""The digests of segments, of bytes that come one chunk after the other."""

from itertools import pairwise

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from model_servers.adapters.segment_digests import SegmentDigests
from model_servers.core.segments import Run, Segment


@given(
    st.lists(st.binary(max_size=60), max_size=20),
    st.lists(st.lists(st.integers(0, 400), max_size=4), max_size=5),
)
def test_segments_are_hashed_alike_however_the_bytes_come(chunks, starts):
    data = b"".join(chunks)
    ends = sorted({0, len(data), *(n % (len(data) + 1) for s in starts for n in s)})
    runs = [Run(a, b - a) for a, b in pairwise(ends)]
    cuts = [part for part in (tuple(runs[::2]), tuple(runs[1::2])) if part]

    hashed = SegmentDigests(cuts)
    for chunk in chunks:
        hashed.update(chunk)

    content = [b"".join(data[run.offset : run.end] for run in runs) for runs in cuts]
    digests = [blake3(one).hexdigest() for one in content]
    assert hashed.segments() == tuple(
        Segment(part, digest) for part, digest in zip(cuts, digests, strict=True)
    )
