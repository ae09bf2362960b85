"""Whatever the bytes of a checkpoint, there are facts, and torch agrees with them."""

import collections
import random

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapters.checkpoints import (
    STATES,
    WRITERS,
    facts_of,
    header,
    in_legacy,
    loaded,
    saved,
    zipped,
)
from model_servers.adapters import checkpoint_file


@given(st.binary(max_size=300))
def test_random_bytes_give_facts(tmp_path_factory, data):
    for content in (data, zipped(data), in_legacy(data), header(data)):
        assert facts_of(tmp_path_factory.getbasetemp(), content).format


OPCODES = st.sampled_from(
    [
        *(b"(", b")", b"]", b"}", b"N", b"0", b"1", b"2", b"a", b"e", b"s", b"u", b"t"),
        *(b"R", b"b", b"o", b"Q", b"\x81", b"\x85", b"\x86", b"\x93", b"\x94", b"\x8f"),
        *(b"q\0", b"h\0", b"q\1", b"h\1", b"K\1", b"X\1\0\0\0a", b"X\7\0\0\0storage"),
        *(b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n"),
        *(b"ctorch\nFloatStorage\n", b"ctorch\nSize\n", b"ctorch\nfloat32\n"),
        *(b"cos\nsystem\n", b"ctorch._tensor\n_rebuild_from_type_v2\n"),
    ]
)


@given(st.lists(OPCODES, max_size=40).map(b"".join))
def test_random_pickles_give_facts_and_nothing_unsafe_is_accepted(
    tmp_path_factory, data
):
    facts = facts_of(tmp_path_factory.getbasetemp(), zipped(data + b"."))

    assert facts.format
    assert not (facts.is_accepted and facts.unsafe_globals)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    | st.binary(max_size=3) | st.just(range(2)) | st.just(torch.ones(2)),
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    | st.dictionaries(st.text(max_size=2), inner, max_size=2).map(
        collections.OrderedDict
    ),
    max_leaves=8,
)  # fmt: skip


@given(VALUES, st.sampled_from(list(WRITERS)))
def test_random_values_are_accepted_if_torch_accepts_them(
    tmp_path_factory, value, writer
):
    path = saved(tmp_path_factory.getbasetemp() / "value.pt", [value], writer)

    assert checkpoint_file.read(path).is_accepted == (loaded(path) is not None)


def damaged(whole):
    """Give files that are cut off somewhere, or have one bit flipped."""
    chance = random.Random(4)
    for _ in range(60):
        yield whole[: chance.randrange(len(whole))]
    for _ in range(240):
        flipped = bytearray(whole)
        flipped[chance.randrange(min(len(whole), 3000))] ^= 1 << chance.randrange(8)
        yield bytes(flipped)


@pytest.mark.parametrize("writer", ["zip", "legacy"])
def test_damaged_files_give_facts(tmp_path, writer):
    whole = saved(tmp_path / "checkpoint.pt", STATES["float32"], writer).read_bytes()

    for content in damaged(whole):
        assert facts_of(tmp_path, content).format


def test_damaged_safetensors_are_accepted_if_safetensors_accepts_them(tmp_path):
    for content in damaged(safetensors.torch.save(STATES["float32"])):
        try:
            safetensors.torch.load(content)
            is_accepted = True
        except safetensors.SafetensorError:
            is_accepted = False
        assert facts_of(tmp_path, content).is_accepted == is_accepted
