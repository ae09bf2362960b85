"""The cache holds nothing but what is meant, and not more than it may."""

import hashlib
import os
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from model_servers.adapters.blob_cache import BlobCache
from model_servers.core.objects import Begun, Chunk
from model_servers.errors import OutsideError

WEIGHTS = b"weights"


def digest(data):
    return hashlib.sha256(data).hexdigest()


def source(*pieces, tag='"1"'):
    """Give a source of bytes that knows no ranges."""

    def chunks(begun):
        offset = 0
        for piece in pieces:
            yield Chunk(offset, piece, tag)
            offset += len(piece)

    return chunks


class Ranged:
    """A source that goes on where an earlier run has ended, and may fail."""

    def __init__(self, data, *, tag='"1"', fails_at=None):
        self.data = data
        self.tag = tag
        self.fails_at = fails_at
        self.asked = []

    def __call__(self, begun):
        self.asked.append(begun)
        start = begun.length if begun.tag == self.tag else 0
        for offset in range(start, len(self.data)):
            if offset == self.fails_at:
                raise OutsideError("the network is gone")
            yield Chunk(offset, self.data[offset : offset + 1], self.tag)


def add(cache, data):
    return cache.add(digest(data), len(data), source(data))[0]


def begin(cache, data, *, length):
    """Let a run bring the first bytes of a blob and fail."""
    with pytest.raises(OutsideError, match="the network is gone"):
        cache.add(digest(WEIGHTS), len(WEIGHTS), Ranged(data, fails_at=length))


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

    path, found = cache.add(digest(b"weights"), 7, source(*chunks))

    assert path is None
    assert found.sha256 == digest(b"".join(chunks)[:8])
    assert list(tmp_path.iterdir()) == []


def test_endless_bytes_are_not_taken(tmp_path):
    taken = []

    def endless(begun):
        while True:
            yield Chunk(4 * len(taken), b"x" * 4)
            taken.append(1)

    BlobCache(tmp_path, max_bytes=100).add("0" * 64, 10, endless)

    assert len(taken) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_fails_at_once_leaves_nothing(tmp_path):
    begin(BlobCache(tmp_path, max_bytes=100), WEIGHTS, length=0)

    assert list(tmp_path.iterdir()) == []


def test_what_has_come_is_not_fetched_again(tmp_path):
    begin(BlobCache(tmp_path, max_bytes=100), WEIGHTS, length=3)
    assert not (tmp_path / digest(WEIGHTS)).exists()
    rest = Ranged(WEIGHTS)

    path, found = BlobCache(tmp_path, max_bytes=100).add(digest(WEIGHTS), 7, rest)

    assert rest.asked == [Begun(3, '"1"')]
    assert path.read_bytes() == WEIGHTS
    assert (found.sha256, found.crc32) == (digest(WEIGHTS), zlib.crc32(WEIGHTS))
    assert list(tmp_path.iterdir()) == [path]


def test_another_version_of_the_file_is_read_from_its_start(tmp_path):
    begin(BlobCache(tmp_path, max_bytes=100), b"WEIGHTS", length=3)

    cache = BlobCache(tmp_path, max_bytes=100)
    path, _ = cache.add(digest(WEIGHTS), 7, Ranged(WEIGHTS, tag='"2"'))

    assert path.read_bytes() == WEIGHTS


def test_a_beginning_of_other_bytes_is_dropped(tmp_path):
    begin(BlobCache(tmp_path, max_bytes=100), b"WEIGHTS", length=3)
    rest = Ranged(WEIGHTS)

    path, _ = BlobCache(tmp_path, max_bytes=100).add(digest(WEIGHTS), 7, rest)

    assert [begun.length for begun in rest.asked] == [3, 0]
    assert path.read_bytes() == WEIGHTS


def test_a_run_that_was_killed_before_the_last_step_has_fetched_everything(tmp_path):
    (tmp_path / f".{digest(WEIGHTS)}.part").write_bytes(WEIGHTS)
    nothing = Ranged(b"")

    path, _ = BlobCache(tmp_path, max_bytes=100).add(digest(WEIGHTS), 7, nothing)

    assert nothing.asked == []
    assert path.read_bytes() == WEIGHTS


def test_of_several_at_once_one_fetches(tmp_path):
    asked, both = Ranged(WEIGHTS), threading.Barrier(2)

    def bring():
        both.wait(timeout=30)
        cache = BlobCache(tmp_path, max_bytes=100)
        return cache.add(digest(WEIGHTS), 7, asked)[0]

    with ThreadPoolExecutor(2) as pool:
        paths = [pool.submit(bring) for _ in range(2)]

    assert [one.result().read_bytes() for one in paths] == [WEIGHTS] * 2
    assert len(asked.asked) == 1


def test_what_nobody_finishes_is_forgotten_like_everything_else(tmp_path):
    begin(BlobCache(tmp_path, max_bytes=100), WEIGHTS, length=6)
    for path in tmp_path.iterdir():
        os.utime(path, (1000, 1000))

    add(BlobCache(tmp_path, max_bytes=20), b"larger than that")

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"larger than that"]


def test_what_another_process_is_fetching_is_not_forgotten(tmp_path):
    cache = BlobCache(tmp_path, max_bytes=5)

    def slow(begun):
        yield Chunk(0, WEIGHTS[:6])
        add(cache, b"another")
        yield Chunk(6, WEIGHTS[6:])

    path, _ = cache.add(digest(WEIGHTS), 7, slow)

    assert path.read_bytes() == WEIGHTS


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
