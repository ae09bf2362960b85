"""Releases: keys, documents, segments, and what publishing would add."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_servers.adapters import documents
from model_servers.core.canonical import canonical_json, sha256_of
from model_servers.core.names import Ref, Version
from model_servers.core.release import (
    Archive,
    Candidate,
    Release,
    ReleasedMember,
    ReleasePlan,
    archive_key,
    plan_release,
    release_key,
    released_refs,
    released_versions,
)
from model_servers.core.segments import SEGMENT_MAX_BYTES, Run, Segment, covers, cut
from model_servers.core.verdicts import Answered, Passed

TINY = Ref.parse("tiny@1.0")
SMALL = ReleasedMember("a.py", 40, 7, "aa" * 32, (Segment((Run(40, 7),), "ee" * 32),))
LARGE = ReleasedMember(
    "weights.pt",
    4096,
    SEGMENT_MAX_BYTES + 5,
    "bb" * 32,
    (
        Segment((Run(4096, 100), Run(4296, SEGMENT_MAX_BYTES - 95)), "cc" * 32),
        Segment((Run(4196, 100),), "dd" * 32),
    ),
)
RELEASE = Release(
    ref=TINY,
    archive=Archive(
        size_bytes=4096 + LARGE.length + 9,
        sha256="ef" * 32,
        members=(LARGE, SMALL),
        framing_blake3="01" * 32,
    ),
    inputs_digest="12" * 32,
    git_commit=None,
    toolchain={"model_servers": "0.1.0"},
    resources={"gpu_memory_mib": 500},
    tested=(
        Passed(
            device="cpu",
            golden=(Answered(case="zero", latency_ms=3.25),),
            load_s=2.5,
            p50_ms=3.0,
            p95_ms=4.5,
            memory_mib=None,
        ),
    ),
)

DOCUMENT_MAX_BYTES = 500_000
HEADER_BYTES = 128
"""What torch.save writes before each tensor, about."""


def transformer(*, layers, width, inner, vocabulary):
    """Give the bytes of each tensor of a language model of 16-bit numbers."""
    layer = [2 * width * width] * 4 + [2 * width * inner] * 3 + [2 * width] * 2
    return [2 * vocabulary * width, *layer * layers, 2 * width, 2 * vocabulary * width]


LAYOUTS = {
    "a 7B transformer": transformer(
        layers=32, width=4096, inner=11_008, vocabulary=32_000
    ),
    "a mixture of experts": transformer(
        layers=800, width=1024, inner=1365, vocabulary=50_000
    ),
    "a quantised model": [6_000_000, 16_384, 16_384] * 1660,
    "large and small in turns": [4_200_000, 9000] * 2375,
    "just below the size of a merged segment": [8_388_000] * 1192,
    "10,000 of 1 MB": [1_000_000] * 10_000,
    "100,000 of 100 kB": [100_000] * 100_000,
}


DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
SIZES = st.integers(min_value=0, max_value=2**63 - 1)
PATHS = st.from_regex(r"[a-zé]{1,5}(/[a-z]{1,3})?", fullmatch=True)


@st.composite
def members(draw):
    """Give members whose segments are of one or several runs, and have every byte."""
    offset = draw(st.integers(min_value=0, max_value=2**40))
    lengths = draw(st.lists(st.integers(min_value=1, max_value=2**30), max_size=4))
    runs, start = [], offset
    for length in lengths:
        runs.append(Run(start, length))
        start += length
    cuts = [cut for cut in (tuple(runs[::2]), tuple(runs[1::2])) if cut]
    segments = tuple(Segment(cut, draw(DIGESTS)) for cut in cuts)
    return ReleasedMember(draw(PATHS), offset, sum(lengths), draw(DIGESTS), segments)


FIGURES = st.floats(min_value=0, max_value=10**6)
CASES = st.text(min_size=1, max_size=4)
PASSED = st.builds(
    Passed,
    device=st.sampled_from(["cpu", "gpu"]),
    golden=st.lists(
        st.builds(Answered, case=CASES, latency_ms=FIGURES),
        min_size=1,
        max_size=3,
        unique_by=lambda one: one.case,
    ).map(lambda some: tuple(sorted(some, key=lambda one: one.case))),
    load_s=FIGURES,
    p50_ms=FIGURES,
    p95_ms=FIGURES,
    memory_mib=st.none() | st.integers(0, 2**20),
)
RELEASES = st.builds(
    Release,
    ref=st.sampled_from([TINY, Ref.parse("my_net@10.2.3")]),
    archive=st.builds(
        Archive,
        size_bytes=st.integers(min_value=1),
        sha256=DIGESTS,
        members=st.lists(members(), min_size=1, max_size=3).map(tuple),
        framing_blake3=DIGESTS,
    ),
    inputs_digest=DIGESTS,
    git_commit=st.none() | DIGESTS,
    toolchain=st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
    resources=st.dictionaries(st.text(max_size=4), SIZES, max_size=2),
    tested=st.lists(PASSED, max_size=2).map(tuple),
)


def test_the_keys_of_a_release():
    assert RELEASE.key == "models/tiny/1.0/tiny-1.0-efefefefefefefef.mar"
    assert archive_key(TINY, "ef" * 32) == RELEASE.key
    assert release_key(TINY) == "models/tiny/1.0/release.json"


def test_a_release_is_written_as_canonical_json():
    assert json.loads(RELEASE.to_bytes()) == {
        "schema": 1,
        "name": "tiny",
        "version": "1.0",
        "archive": {
            "key": RELEASE.key,
            "size": 4096 + SEGMENT_MAX_BYTES + 14,
            "sha256": "ef" * 32,
            "framing_blake3": "01" * 32,
        },
        "members": [
            {
                "path": "weights.pt",
                "offset": 4096,
                "length": SEGMENT_MAX_BYTES + 5,
                "sha256": "bb" * 32,
                "segments": [
                    {
                        "runs": [[4096, 100], [4296, SEGMENT_MAX_BYTES - 95]],
                        "blake3": "cc" * 32,
                    },
                    {"runs": [[4196, 100]], "blake3": "dd" * 32},
                ],
            },
            {
                "path": "a.py",
                "offset": 40,
                "length": 7,
                "sha256": "aa" * 32,
                "segments": [{"runs": [[40, 7]], "blake3": "ee" * 32}],
            },
        ],
        "inputs_digest": "12" * 32,
        "git_commit": None,
        "toolchain": {"model_servers": "0.1.0"},
        "resources": {"gpu_memory_mib": 500},
        "tested": [
            {
                "device": "cpu",
                "golden": [{"case": "zero", "verdict": "passed", "latency_ms": 3.25}],
                "measured": {
                    "load_s": 2.5,
                    "latency_ms": {"p50": 3.0, "p95": 4.5},
                    "memory_mib": None,
                },
            }
        ],
    }
    assert RELEASE.to_bytes() == canonical_json(json.loads(RELEASE.to_bytes()))


@given(RELEASES)
def test_a_release_is_read_as_it_was_written(release):
    data = json.loads(release.to_bytes())

    assert documents.violations(data, schema="release") == []
    assert Release.from_mapping(data) == release


def test_the_framing_is_what_no_member_has():
    end = 4096 + LARGE.length

    assert RELEASE.archive.framing == Segment(
        (Run(0, 40), Run(47, 4049), Run(end, 9)), "01" * 32
    )


@pytest.mark.parametrize(
    "runs",
    [
        pytest.param([[[4096, 99]], [[4196, 100]]], id="a gap"),
        pytest.param([[[4096, 101]], [[4196, 100]]], id="twice"),
        pytest.param([[[4096, 100]], [[4196, 101]]], id="longer than the member"),
        pytest.param([[[4095, 101]], [[4196, 100]]], id="begins before it"),
        pytest.param([], id="none"),
        pytest.param([[[4096, 0], [4096, 100]], [[4196, 100]]], id="an empty run"),
    ],
)
def test_a_document_whose_segments_are_not_their_member_is_refused(runs):
    data = json.loads(RELEASE.to_bytes())
    parts = [{"runs": cut, "blake3": "cc" * 32} for cut in runs]
    data["members"][0] |= {"length": 200, "segments": parts}

    with pytest.raises(ValueError, match=r"'weights.pt' are not the whole of it"):
        Release.from_mapping(data)


def test_released_versions_are_those_with_a_document_oldest_first():
    keys = [
        "models/tiny/1.10/release.json",
        "models/tiny/1.9/release.json",
        "models/tiny/1.9/tiny-1.9-efefefefefefefef.mar",
        "models/tiny/2.0/tiny-2.0-efefefefefefefef.mar",
        "models/tiny2/3.0/release.json",
        "index.json",
    ]

    assert released_versions("tiny", keys) == [
        Version.parse("1.9"),
        Version.parse("1.10"),
    ]


def candidate(version, inputs_digest):
    ref = Ref("tiny", Version.parse(version))
    return Candidate(ref=ref, inputs_digest=inputs_digest)


OTHER = candidate("1.0", "34" * 32)
SAME = candidate("1.0", "12" * 32)
NEXT = candidate("1.1", "34" * 32)


@pytest.mark.parametrize(
    ("candidates", "new", "unchanged", "conflicts"),
    [
        pytest.param([], (), (), (), id="nothing on main"),
        pytest.param([NEXT], (NEXT,), (), (), id="a version that the store lacks"),
        pytest.param([SAME], (), (SAME,), (), id="the same again"),
        pytest.param([OTHER], (), (), (OTHER,), id="other inputs, the same version"),
        pytest.param(
            [candidate("1.0.0", "34" * 32)],
            (candidate("1.0.0", "34" * 32),),
            (),
            (),
            id="1.0.0 is not 1.0",
        ),
        pytest.param(
            [NEXT, SAME, OTHER], (NEXT,), (SAME,), (OTHER,), id="each on its own"
        ),
    ],
)
def test_publishing_adds_what_the_store_lacks(candidates, new, unchanged, conflicts):
    plan = plan_release(candidates, {TINY: RELEASE.inputs_digest})

    assert plan == ReleasePlan(new=new, unchanged=unchanged, conflicts=conflicts)


def test_after_publishing_there_is_nothing_new():
    released = {NEXT.ref: NEXT.inputs_digest}

    plan = plan_release([NEXT], released)

    assert plan == ReleasePlan(new=(), unchanged=(NEXT,), conflicts=())


def test_canonical_json_does_not_depend_on_order():
    one, other = {"b": 1, "a": [{"d": "é", "c": None}]}, {}
    other["a"], other["b"] = [{"c": None, "d": "é"}], 1

    assert canonical_json(one) == '{"a":[{"c":null,"d":"é"}],"b":1}'.encode()
    assert sha256_of(one) == sha256_of(other)


def test_all_releases_are_found_among_keys_and_nothing_else():
    keys = [
        "models/b/1.0/release.json",
        "models/a/1.10/release.json",
        "models/a/1.9/release.json",
        "models/a/1.9/a-1.9-0123.mar",
        "models/a/latest/release.json",
        "models/A/1.0/release.json",
        "models/a/1.0/more/release.json",
        "other/a/1.0/release.json",
        "release.json",
        "index.json",
    ]

    assert [str(ref) for ref in released_refs(keys)] == ["a@1.9", "a@1.10", "b@1.0"]


@pytest.mark.parametrize("header_bytes", [0, HEADER_BYTES])
@pytest.mark.parametrize("sizes", LAYOUTS.values(), ids=LAYOUTS)
def test_the_document_of_a_model_of_10_gb_is_small(sizes, header_bytes):
    tensors, end = [], 4096
    for size in sizes:
        tensors.append(Run(end + header_bytes, size))
        end += header_bytes + size
    length = end + 100_000
    assert length > 8_000_000_000

    segments = tuple(
        Segment(runs, "cd" * 32).moved(4096) for runs in cut(length, tensors)
    )
    weights = ReleasedMember("model.pt", 4096, length, "ab" * 32, segments)
    archive = replace(RELEASE.archive, members=(weights, SMALL), size_bytes=2 * length)
    body = replace(RELEASE, archive=archive).to_bytes()

    assert len(body) < DOCUMENT_MAX_BYTES
    assert covers(segments, weights.run)
    assert all(part.length <= SEGMENT_MAX_BYTES for part in segments)
