"""What is said of a file: its digests, its tensors, and that it has not changed."""

import hashlib
import os
import random
import zipfile
import zlib

import pytest
import torch
from blake3 import blake3
from safetensors.torch import save_file

from model_servers.adapters import digest_cache
from model_servers.adapters.digest_cache import DigestCache
from model_servers.adapters.file_digests import digest_bytes, digest_file
from model_servers.adapters.tensor_ranges import tensor_ranges
from model_servers.core.segments import Run, covers
from model_servers.errors import OutsideError

MIB = 2**20
LATER_NS = 10**18 * 4


def weights(**changed):
    """Give some large and small tensors, always the same unless *changed*."""
    random_numbers = torch.Generator().manual_seed(1)
    shapes = {"a": (1100, 1000), "b": (40,), "c": (500, 1000), "d": (30, 30)}
    tensors = {
        name: torch.randn(shape, generator=random_numbers)
        for name, shape in shapes.items()
    }
    return tensors | changed


def saved(folder, name, tensors):
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / name
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    return path


def content(path, segment):
    data = path.read_bytes()
    return b"".join(data[run.offset : run.end] for run in segment.runs)


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_the_tensors_of_a_checkpoint_are_found(tmp_path, name):
    tensors = weights()
    path = saved(tmp_path, name, tensors)
    data = path.read_bytes()

    found = {data[run.offset : run.end] for run in tensor_ranges(path)}

    assert found == {tensor.numpy().tobytes() for tensor in tensors.values()}


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_checkpoint_keeps_the_digests_of_what_a_training_left_alone(tmp_path, name):
    before = digest_file(saved(tmp_path / "1", name, weights()))
    tuned = weights(c=torch.zeros(500, 1000))
    after = digest_file(saved(tmp_path / "2", name, tuned))

    known = {segment.blake3 for segment in before.segments}
    moved = [one for one in after.segments if one.blake3 not in known]

    glue = 0 if name == "model.safetensors" else 1
    assert len(moved) == 1 + glue
    assert sum(one.length for one in moved) < 500 * 1000 * 4 + 10_000


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors", "model.onnx"])
def test_all_digests_are_those_of_the_bytes(tmp_path, name):
    path = saved(tmp_path, name, weights())
    data = path.read_bytes()

    digests = digest_file(path)

    assert digests.size_bytes == len(data)
    assert digests.sha256 == hashlib.sha256(data).hexdigest()
    assert digests.crc32 == zlib.crc32(data)
    assert covers(digests.segments, Run(0, len(data)))
    for segment in digests.segments:
        found = blake3(content(path, segment)).hexdigest()
        assert segment.blake3 == found


def test_bytes_in_memory_have_the_digests_of_a_file(tmp_path):
    data = random.Random(1).randbytes(33 * MIB)
    (tmp_path / "a").write_bytes(data)

    assert digest_bytes(data) == digest_file(tmp_path / "a")
    assert len(digest_bytes(data).segments) == 2
    assert digest_bytes(b"").size_bytes == 0


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(
        OutsideError, match=r"none cannot be read: No such file"
    ) as caught:
        digest_file(tmp_path / "none")

    assert caught.value.hint == "check that it is there and can be read"


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_a_damaged_checkpoint_is_cut_somehow(tmp_path, name, seed):
    path = saved(tmp_path, name, weights())
    dice = random.Random(seed)
    damaged = bytearray(path.read_bytes())
    for _ in range(20):
        near = dice.choice(
            [dice.randrange(300), len(damaged) - 1 - dice.randrange(900)]
        )
        damaged[near] = dice.randrange(256)
    path.write_bytes(damaged[: dice.choice([len(damaged), len(damaged) - 100])])

    digests = digest_file(path)

    assert digests.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    size_bytes = path.stat().st_size
    assert covers(digests.segments, Run(0, size_bytes))


def test_a_zip_that_is_no_checkpoint_has_no_tensors(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("data/0", b"x" * MIB)
        archive.writestr("a.txt", b"x" * MIB)

    assert tensor_ranges(tmp_path / "a.pt") == []


# The digests that are remembered


@pytest.fixture
def large(tmp_path):
    path = saved(tmp_path, "model.pt", weights())
    os.utime(path, ns=(0, 10**18))
    return path


@pytest.fixture
def reads(monkeypatch):
    """Give the list of files that are really read."""
    read = []

    def watched(file):
        read.append(file.name)
        return digest_file(file)

    monkeypatch.setattr(digest_cache, "digest_file", watched)
    return read


def cache(tmp_path, now_ns=LATER_NS):
    return DigestCache(tmp_path / "digests", now_ns=lambda: now_ns)


def test_an_unchanged_file_is_read_once(tmp_path, large, reads):
    first = cache(tmp_path).digest(large)

    assert cache(tmp_path).digest(large) == first == digest_file(large)
    assert reads == ["model.pt"]


@pytest.mark.parametrize("how", ["content", "size", "replaced", "touched"])
def test_a_file_that_changed_is_read_again(tmp_path, large, reads, how):
    cache(tmp_path).digest(large)
    match how:
        case "content":
            with large.open("r+b") as stream:
                stream.write(b"other")
        case "size":
            os.truncate(large, large.stat().st_size - 1)
        case "replaced":
            other = tmp_path / "other"
            other.write_bytes(bytes(large.stat().st_size))
            os.utime(other, ns=(0, 10**18))
            other.replace(large)
        case "touched":
            large.touch()

    assert cache(tmp_path).digest(large) == digest_file(large)
    assert reads == ["model.pt", "model.pt"]


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path, large, reads):
    cache(tmp_path).digest(large)
    with large.open("r+b") as stream:
        stream.write(b"other")
    os.utime(large, ns=(0, 10**18))

    assert cache(tmp_path).digest(large) == digest_file(large)
    assert len(reads) == 2


def test_a_file_that_has_just_changed_is_not_trusted_yet(tmp_path, large, reads):
    soon = large.stat().st_ctime_ns + 10**9

    cache(tmp_path, soon).digest(large)
    cache(tmp_path, soon).digest(large)

    assert reads == ["model.pt", "model.pt"]


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b"null", b'{"state": 1}'])
def test_a_damaged_cache_costs_time_and_nothing_else(tmp_path, large, reads, junk):
    first = cache(tmp_path).digest(large)
    (entry,) = (tmp_path / "digests").iterdir()
    entry.write_bytes(junk)

    assert cache(tmp_path).digest(large) == first
    assert cache(tmp_path).digest(large) == first
    assert reads == ["model.pt", "model.pt"]


def test_a_cache_that_cannot_be_written_does_not_stop_anybody(tmp_path, large):
    (tmp_path / "digests").write_text("a file")

    assert cache(tmp_path).digest(large) == digest_file(large)


def test_small_files_are_not_remembered(tmp_path):
    (tmp_path / "small.py").write_text("a = 1\n")

    cache(tmp_path).digest(tmp_path / "small.py")

    assert not (tmp_path / "digests").exists()
