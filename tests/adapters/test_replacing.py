"""Files that are complete or not there, whoever is killed and whoever else writes."""

import os
import signal
import subprocess
import sys

import pytest

from model_servers.adapters.replacing import replacing
from model_servers.errors import OutsideError

WRITER = """
import os, sys, time
from pathlib import Path
from model_servers.adapters.replacing import replacing
with replacing(Path(sys.argv[1])) as file:
    os.write(file, b"half")
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def writer(tmp_path):
    """Start another process that is in the middle of writing."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path / "a.mar"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.communicate()


def write(target, data):
    with replacing(target) as file:
        os.write(file, data)


def test_what_a_killed_process_left_is_cleared_by_the_next_one(tmp_path, writer):
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert [path.suffix for path in tmp_path.iterdir()] == [".partial"]

    write(tmp_path / "a.mar", b"whole")

    assert os.listdir(tmp_path) == ["a.mar"]  # noqa: PTH208
    assert (tmp_path / "a.mar").read_bytes() == b"whole"


def test_one_that_still_writes_is_not_disturbed(tmp_path, writer):
    write(tmp_path / "a.mar", b"whole")
    assert (tmp_path / "a.mar").read_bytes() == b"whole"

    writer.communicate(b"")

    assert writer.returncode == 0
    assert (tmp_path / "a.mar").read_bytes() == b"half"
    assert os.listdir(tmp_path) == ["a.mar"]  # noqa: PTH208


def test_other_files_of_a_similar_name_are_left_alone(tmp_path):
    for name in (".a.mar", ".b.mar.1.partial", "a.mar.partial"):
        (tmp_path / name).touch()

    write(tmp_path / "a.mar", b"whole")

    assert len(list(tmp_path.iterdir())) == 4


def test_the_mode_is_what_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "a.mar", b"")
    finally:
        os.umask(before)

    assert (tmp_path / "a.mar").stat().st_mode & 0o777 == 0o640


def test_what_cannot_be_written_is_named_with_what_to_do(tmp_path):
    (tmp_path / "dist").write_text("not a folder")
    target = tmp_path / "dist" / "a.mar"

    with pytest.raises(OutsideError) as caught:
        write(target, b"whole")

    assert str(caught.value) == f"{target} cannot be written: File exists"
    assert caught.value.hint == "make room or correct the permissions, and run it again"
