"""The cache holds nothing but what is meant, and not more than it may."""

import hashlib
import os

import pytest

from model_servers.adapters.blob_cache import BlobCache
from model_servers.errors import OutsideError


def digest(data):
    return hashlib.sha256(data).hexdigest()


def add(cache, data):
    return cache.add(digest(data), len(data), [data])[0]


def test_what_was_added_is_found(tmp_path):
    cache = BlobCache(tmp_path / "cache", max_bytes=100)

    path = add(cache, b"weights")

    assert path.read_bytes() == b"weights"
    assert cache.find(digest(b"weights"), 7) == path
    assert cache.find(digest(b"weights"), 8) is None
    assert cache.digests(path).sha256 == digest(b"weights")
    cache.remove(digest(b"weights"))
    assert cache.find(digest(b"weights"), 7) is None


@pytest.mark.parametrize(
    "chunks", [[b"weighs"], [b"weight?"], [b"weights", b"more"], [], [b"weightsmore"]]
)
def test_other_bytes_leave_nothing(tmp_path, chunks):
    cache = BlobCache(tmp_path, max_bytes=100)

    path, found = cache.add(digest(b"weights"), 7, chunks)

    assert path is None
    assert found.sha256 == digest(b"".join(chunks)[:8])
    assert list(tmp_path.iterdir()) == []


def test_endless_bytes_are_not_taken(tmp_path):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield b"x" * 4

    BlobCache(tmp_path, max_bytes=100).add("0" * 64, 10, endless())

    assert len(taken) == 3


def test_a_source_that_fails_leaves_nothing(tmp_path):
    def failing():
        yield b"wei"
        raise OutsideError("the network is gone")

    with pytest.raises(OutsideError, match="the network is gone"):
        BlobCache(tmp_path, max_bytes=100).add(digest(b"weights"), 7, failing())

    assert list(tmp_path.iterdir()) == []


def test_what_was_not_used_for_the_longest_is_forgotten(tmp_path):
    cache = BlobCache(tmp_path, max_bytes=20)
    for age, data in ((30, b"oldest..."), (20, b"older....")):
        os.utime(add(cache, data), (1000 - age, 1000 - age))
    cache.find(digest(b"oldest..."), 9)

    add(cache, b"newest...")

    here = {path.read_bytes() for path in tmp_path.iterdir()}
    assert here == {b"oldest...", b"newest..."}


def test_what_is_larger_than_the_cache_stays_until_the_next(tmp_path):
    cache = BlobCache(tmp_path, max_bytes=5)

    assert add(cache, b"larger than that").exists()
    add(cache, b"next")

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"next"]


def test_a_cache_that_cannot_be_used_says_so(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OutsideError, match="cannot be used"):
        add(BlobCache(tmp_path / "file" / "cache", max_bytes=5), b"a")
