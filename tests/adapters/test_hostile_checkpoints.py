"""Small files that would take hours or gigabytes are refused with little of both."""

import io
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
READ = """
import sys
from pathlib import Path
from model_servers.adapters import checkpoint_file
print(checkpoint_file.read(Path(sys.argv[1])).problem)
"""


def zipped(data, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", b"3\n")
    return buffer.getvalue()


def legacy(*pickles):
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    return b"".join([*head, *pickles])


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value


def again(step, count=150_000):
    return step * count + b"}."


def long_number(size):
    return b"\x8b" + struct.pack("<I", size) + b"\1" * size


def directory(count, *, pretends_to_be_small):
    """Give a zip file of which only the directory is large."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", 20, 3, 20, *[0] * 8, 5, *[0] * 6)
    entries = b"".join(entry + b"%05d" % number for number in range(count))
    if pretends_to_be_small:  # to who believes the marker of a larger directory
        entries += bytes(56) + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    start = zipped(b"}.")
    told = count % 2**16
    end = struct.pack(
        "<4s4H2LH", b"PK\5\6", 0, 0, told, told, len(entries), len(start), 0
    )
    return start + entries + end


def header(content):
    return len(content).to_bytes(8, "little") + content


def shape_of(count):
    sizes = b",".join([b"9000000000000000000"] * count)
    return b'{"a":{"dtype":"F32","shape":[' + sizes + b'],"data_offsets":[0,4]}}'


ITEMS = b"](NN\x86q\1" + b"h\1" * 400_000 + b"eq\0"
SIZE = b"ctorch\nSize\nq\1"
MAPS = b"ccollections\nOrderedDict\nq\2"
META = b"ctorch._utils\n_rebuild_meta_tensor_no_storage\nq\1"


@pytest.fixture
def problem_of(tmp_path):
    """Read a file with 10 s of one CPU and 500 MiB of addresses."""

    def read(content):
        path = tmp_path / "checkpoint.pt"
        path.write_bytes(content)

        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
            resource.setrlimit(resource.RLIMIT_AS, (500 * 2**20, 500 * 2**20))

        done = subprocess.run(
            [sys.executable, "-c", READ, path],
            check=False,
            env={"PYTHONPATH": str(TOOLS)},
            preexec_fn=limit,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip() or f"status {done.returncode}: {done.stderr[-500:]}"

    return read


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(zipped(again(b"N", 2_000_000)), "steps", id="many steps"),
        pytest.param(
            legacy(b"N" * 600_000 + b"}.", b"N" * 600_000 + b"]."),
            "steps",
            id="many steps in several pickles",
        ),
        pytest.param(
            zipped(ITEMS + MAPS + again(b"h\2h\0\x85R0")),
            "steps",
            id="a dict of many items, made again and again",
        ),
        pytest.param(
            zipped(b"(" + b"K\1" * 400_000 + b"tq\0" + META + again(b"h\1(Nh\0NtR0")),
            "without a shape",
            id="a tensor of many dimensions",
        ),
        pytest.param(
            zipped(text(b"1" * 2**23) + b"q\0" + SIZE + again(b"h\1h\0\x85R")),
            "a size that is none",
            id="a size made of a long text",
        ),
        pytest.param(
            zipped(text(b"a" * 2**23) + b"q\0" + again(b"h\0h\0\x930")),
            "a name without end",
            id="a long name",
        ),
        pytest.param(
            zipped(b"c" + b"a" * 2**23 + b"\na\n."), "a name without end", id="global"
        ),
        pytest.param(
            zipped(b"".join(b"ca\n%d\n0" % n for n in range(200_000)) + b"}."),
            "its pickle names a.0, a.1, a.2, a.3, a.4 and 996 more",
            id="many names",
        ),
        pytest.param(
            zipped(b"}" + long_number(2**23) + b"q\x000" + b"h\0Ns" * 200_000 + b"."),
            "the opcode LONG4",
            id="a key whose hash takes long",
        ),
        pytest.param(
            zipped(b"}" + long_number(5000) + b"Ns."), "the opcode LONG4", id="a number"
        ),
        pytest.param(
            zipped(bytes(2**28), zipfile.ZIP_DEFLATED), "larger than", id="a zip bomb"
        ),
        pytest.param(
            zipped(b"}.", zipfile.ZIP_LZMA), "a way that torch cannot", id="lzma"
        ),
        pytest.param(
            zipped(b"\x96" + struct.pack("<Q", 2**62) + b"."), "larger", id="bytearray"
        ),
        pytest.param(
            directory(60_000, pretends_to_be_small=False),
            "without data.pkl",
            id="many members",
        ),
        pytest.param(
            directory(400_000, pretends_to_be_small=True),
            "too many members",
            id="a directory that pretends to be small",
        ),
        pytest.param(header(shape_of(300_000)), "no place", id="many sizes"),
        pytest.param(
            header(b'{"a":[' + b"[]," * 2_000_000 + b"[]]}"), "entries", id="brackets"
        ),
        pytest.param(
            header(b'{"a":[' + b'"",' * 2_000_000 + b"1]}"), "damaged", id="texts"
        ),
        pytest.param(header(b"{" + b" " * 2**24), "larger than", id="a long header"),
        pytest.param((2**40).to_bytes(8, "little") + b"{}", "cut off", id="no header"),
    ],
)  # fmt: skip
def test_a_bomb_is_refused_with_little_time_and_memory(problem_of, content, problem):
    assert problem in problem_of(content)
