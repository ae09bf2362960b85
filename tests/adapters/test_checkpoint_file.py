"""What a checkpoint holds is told as torch would read it, and nothing is executed."""

import collections
import io
import os
import pickle
import struct
import warnings
import zipfile

import pytest
import safetensors.torch
import torch
from torch._weights_only_unpickler import _get_allowed_globals

from adapters.checkpoints import (
    STATES,
    WRITERS,
    Network,
    facts_of,
    header,
    in_legacy,
    loaded,
    saved,
    zipped,
)
from model_servers.adapters import checkpoint_file
from model_servers.core.checkpoint import SAFE_GLOBALS, CheckpointFacts, Tensor

OTHERS = {
    "nested": {"state_dict": Network().state_dict(), "epoch": 3},
    "more than tensors": {"a": torch.ones(2), "epoch": 3, "names": {"x", "y"}},
    "a list": [torch.ones(2)],
    "a tensor": torch.ones(2),
    "a counter": collections.Counter("abc"),
    "bytes": {"a": b"12", "b": bytearray(b"12"), "c": 1j, "d": None, "e": 1.5},
    "devices": {"device": torch.device("cpu"), "dtype": torch.int8, "n": 2**70},
    "a pickled module": Network(),
    "a function": {"a": torch.ones(2), "f": os.getcwd},
    "a range": {"r": range(3)},
}


def tensors_of(state):
    return tuple(
        Tensor(
            name=name,
            dtype=str(tensor.dtype).removeprefix("torch."),
            shape=tuple(tensor.shape),
        )
        for name, tensor in state.items()
    )


def test_the_list_of_safe_globals_is_torch_s_own():
    assert _get_allowed_globals().keys() == SAFE_GLOBALS


@pytest.mark.parametrize(
    ("state", "writer"),
    [
        pytest.param(state, writer, id=f"{name}, {writer}")
        for name, state in STATES.items()
        for writer in ("zip", "legacy")
        # What torch writes there in the old format, it cannot read.
        if (name, writer) not in (("other dtypes", "legacy"), ("float8", "legacy"))
    ],
)
def test_the_tensors_of_a_state_dict_are_those_that_torch_reads(
    tmp_path, state, writer
):
    path = saved(tmp_path / "checkpoint.pt", state, writer)

    facts = checkpoint_file.read(path)

    assert facts.problem is None
    assert facts.is_accepted
    assert facts.unsafe_globals == ()
    assert facts.tensors == tensors_of(loaded(path))


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("value", [*STATES.values(), *OTHERS.values()])
def test_a_file_is_accepted_if_torch_accepts_it(tmp_path, value, writer):
    path = saved(tmp_path / "checkpoint.pt", value, writer)

    facts = checkpoint_file.read(path)

    assert facts.is_accepted == (loaded(path) is not None)
    assert facts.is_accepted or facts.problem


def test_safetensors_are_read_by_their_content(tmp_path):
    state = {"a": torch.ones(2, 3, dtype=torch.bfloat16), "b": torch.tensor([True])}
    path = tmp_path / "checkpoint.pt"
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})

    facts = checkpoint_file.read(path)

    assert (facts.format, facts.problem) == ("safetensors", None)
    assert set(facts.tensors) == set(tensors_of(state))


def test_torchscript_is_told_from_a_state_dict(tmp_path):
    path = tmp_path / "checkpoint.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)

    assert checkpoint_file.read(path) == CheckpointFacts(format="torchscript")


def test_a_nested_state_dict_is_shown_and_not_what_the_handler_takes(tmp_path):
    facts = checkpoint_file.read(saved(tmp_path / "c.pt", OTHERS["nested"]))

    assert facts.is_accepted
    assert facts.problem == "it is a dict with 'state_dict'; save only the state_dict"
    assert facts.tensors == tensors_of(OTHERS["nested"]["state_dict"])


def test_a_pickled_module_names_its_classes(tmp_path):
    facts = checkpoint_file.read(saved(tmp_path / "c.pt", torch.nn.Linear(2, 2)))

    assert facts.format == "torch"
    assert facts.unsafe_globals == ("torch.nn.modules.linear.Linear",)
    assert facts.problem == "its pickle names torch.nn.modules.linear.Linear"


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def attacks(marker):
    """Give pickles that would make a file."""
    command = f"touch {marker}".encode()
    call = text(command) + b"\x85R"
    return {
        "reduce, protocol 2": pickle.dumps(Attack(marker), 2),
        "reduce, protocol 5": pickle.dumps(Attack(marker), 5),
        "protocol 0": b"cos\nsystem\n(S'" + command + b"'\ntR.",
        "stack global": text(b"os") + text(b"system") + b"\x93" + call + b".",
        "inst": b"(S'" + command + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\n" + text(command) + b"o.",
        "through the memo": b"cos\nsystem\nq\x000h\x00" + call + b".",
        "behind a state_dict": b"}(X\1\0\0\0acos\nsystem\n" + call + b"u.",
        "twice": b"cos\nsystem\n" + call + b"0}.",
    }


ATTACKS = list(attacks("x"))


@pytest.mark.parametrize("wrap", [zipped, in_legacy, bytes], ids=lambda f: f.__name__)
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_named_and_not_executed(tmp_path, attack, wrap):
    marker = tmp_path / "executed"

    facts = facts_of(tmp_path, wrap(attacks(marker)[attack]))

    assert not marker.exists()
    assert not facts.is_accepted
    assert set(facts.unsafe_globals) in ({"os.system"}, {"posix.system"})
    assert "system" in facts.problem


def lists(depth):
    """Give a pickle of lists of lists that is small, and huge for who walks it."""
    return b"]q\x00" + b"](h\x00h\x00eq\x00" * depth + b"."


def tuples(depth):
    return b")q\x00" + b"h\x00h\x00\x86q\x00" * depth


def with_state(content):
    """Change the data.pkl of a small state_dict."""
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(8)}, buffer)
    source = zipfile.ZipFile(buffer)
    names = {name.partition("/")[2]: source.read(name) for name in source.namelist()}
    return zipped(content(names.pop("data.pkl")), **names)


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"junk" * 99, "it is none of torch's formats", id="junk"),
        pytest.param(b"\x80\x02", "its pickle is damaged", id="two bytes"),
        pytest.param(b"PK\x03\x04" + bytes(99), "a zip archive that is cut", id="zip"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "LFS", id="lfs"),
        pytest.param(pickle.dumps([1]), "torch.save did not write it", id="a pickle"),
        pytest.param(zipped(lists(100_000)), "not a state_dict", id="lists"),
        pytest.param(zipped(tuples(60) + b"}h\x00Ns."), "more than", id="a slow key"),
        pytest.param(zipped(tuples(100_000) + b"."), "not a state_dict", id="deep"),
        pytest.param(zipped(b"N" * 2_000_001 + b"."), "steps", id="many steps"),
        pytest.param(zipped(b"X\xff\xff\xff\x7f."), "larger than", id="a long text"),
        pytest.param(
            zipped(bytes(65 * 2**20), compression=zipfile.ZIP_DEFLATED),
            "larger than",
            id="a zip bomb",
        ),
        pytest.param(with_state(lambda p: p[:-9]), "damaged", id="cut off inside"),
        pytest.param(
            with_state(lambda p: p.replace(b"K\x08", b"K\x09")),
            "cut off",
            id="a storage that is too small",
        ),
        pytest.param(
            zipped(b"}.", **{"DATA.PKL": b"}."}), "two members", id="but for case"
        ),
        pytest.param(header(b"{"), "its header is damaged", id="no JSON"),
        pytest.param(header(b"{" + b'"a":[' * 9999), "damaged", id="deep JSON"),
        pytest.param(b"\xff" * 8 + b"{}", "its header is cut off", id="long header"),
        pytest.param(header({"a": 1}), "its header is damaged", id="no entry"),
        pytest.param(header(entry("F3")), "dtype of 'a' is unknown", id="dtype"),
        pytest.param(header(entry()), "its tensors are cut off", id="no data"),
        pytest.param(
            header(entry(shape=(3,)), bytes(8)), "not the bytes of its", id="shape"
        ),
        pytest.param(
            header(entry(), bytes(9)), "safetensors refuses it", id="more data"
        ),
        pytest.param(
            header({**entry(), "b": entry()["a"]}, bytes(8)), "overlap", id="overlap"
        ),
        pytest.param(
            header(entry(offsets=(1, 9)), bytes(9)), "leave gaps", id="a late start"
        ),
        pytest.param(
            header(b'{"a":{"dtype":"U8","dtype":"U8"}}'), "a name twice", id="twice"
        ),
        pytest.param(
            header(entry(shape=(-2,)), bytes(8)), "is no place", id="negative"
        ),
    ],
)
def test_what_is_no_checkpoint_says_why(tmp_path, content, problem):
    facts = facts_of(tmp_path, content)

    assert problem in (facts.problem or "")


def test_a_directory_and_a_missing_file_are_no_checkpoints(tmp_path):
    assert checkpoint_file.read(tmp_path).problem == "it is no file"
    assert checkpoint_file.read(tmp_path / "none").problem == "it is no file"


def test_compressed_tensors_are_refused_since_the_handler_maps_them(tmp_path):
    source = zipfile.ZipFile(saved(tmp_path / "a.pt", {"a": torch.ones(999)}))
    with zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))

    facts = checkpoint_file.read(tmp_path / "b.pt")

    assert facts.problem == "its tensors are compressed, and cannot be mapped"
