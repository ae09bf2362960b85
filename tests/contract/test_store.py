"""What every store promises, asked of the fake and of the real ones."""

from __future__ import annotations

import hashlib
import secrets
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contract.stored import BUCKET, MIB, uploaded
from model_servers.adapters.file_content import FileContent
from model_servers.adapters.s3_store import S3Store
from model_servers.errors import OutsideError
from model_servers.ports import ProbedStore as Store


def test_what_is_created_can_be_read(store: Store) -> None:
    assert store.create("models/a/1.0/release.json", b'{"schema": 1}')

    assert store.read("models/a/1.0/release.json") == b'{"schema": 1}'


def test_an_absent_key_reads_as_none(store: Store) -> None:
    store.create("models/a/1.0/release.json", b"{}")

    assert store.read("models/a") is None
    assert store.read("models/a/1.0") is None
    assert store.read("models/a/1.0/release.json/x") is None
    assert store.read("models/b/1.0/release.json") is None


def test_creating_again_changes_nothing_and_says_so(store: Store) -> None:
    store.create("a/release.json", b"first")

    assert store.create("a/release.json", b"second") is False
    assert store.create("a/release.json", b"first") is False
    assert store.read("a/release.json") == b"first"
    assert list(store.keys("")) == ["a/release.json"]


@pytest.mark.parametrize("store", ["memory", "local", "radosgw"], indirect=True)
def test_of_nine_racing_creators_exactly_one_wins(store: Store) -> None:
    # moto looks and then writes, in two steps, so it has several winners.
    for race in range(3):
        key = f"race/{race}"
        together = threading.Barrier(9)

        def create(number: int, key: str = key, gate=together) -> bool:
            gate.wait()
            return store.create(key, f"creator {number}".encode())

        with ThreadPoolExecutor(9) as pool:
            told = list(pool.map(create, range(9)))

        assert told.count(True) == 1
        assert store.read(key) == f"creator {told.index(True)}".encode()


def test_keys_are_listed_by_prefix_in_order(store: Store) -> None:
    keys = [
        "models/a/1.0/a-1.0-0123.mar",
        "models/a/1.0/release.json",
        "models/a/1.10/release.json",
        "models/a/z.json",
        "models/ab/1.0/release.json",
        "models/b",
    ]
    for key in reversed(keys):
        store.create(key, b"")

    assert list(store.keys("")) == keys
    assert list(store.keys("models/a/")) == keys[:4]
    assert list(store.keys("models/a")) == keys[:5]
    assert list(store.keys("models/a/1.1")) == [keys[2]]
    assert list(store.keys("models/a/1.0/release.json")) == [keys[1]]
    assert list(store.keys("models/c/")) == []
    assert list(store.keys("channels/")) == []


@pytest.mark.parametrize("store", ["moto", "radosgw"], indirect=True)
def test_keys_beyond_the_first_page_are_listed(store: S3Store) -> None:
    # S3 lists a thousand at a time; writing so many would take too long here.
    store._s3.meta.events.register(
        "provide-client-params.s3.ListObjectsV2",
        lambda params, **_: {**params, "MaxKeys": 3},
    )
    keys = [f"many/{number}" for number in range(8)]
    for key in keys:
        store.create(key, b"")

    assert list(store.keys("many/")) == keys


def test_a_range_is_exact_at_the_start_in_the_middle_and_at_the_end(
    store: Store, tmp_path: Path
) -> None:
    data = secrets.token_bytes(10_000)
    key = uploaded(store, tmp_path, data)

    assert store.read_range(key, 0, 100) == data[:100]
    assert store.read_range(key, 4096, 17) == data[4096:4113]
    assert store.read_range(key, 9_999, 1) == data[-1:]
    assert store.read_range(key, 0, 10_000) == data


def test_an_empty_range_is_empty(store: Store, tmp_path: Path) -> None:
    key = uploaded(store, tmp_path, b"0123456789")

    assert store.read_range(key, 0, 0) == b""
    assert store.read_range(key, 10, 0) == b""


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        pytest.param(5, 6, id="ends beyond the end"),
        pytest.param(10, 1, id="starts at the end"),
        pytest.param(20, 5, id="starts beyond the end"),
    ],
)
def test_a_range_beyond_the_end_is_the_stores_failure(
    store: Store, tmp_path: Path, offset: int, length: int
) -> None:
    key = uploaded(store, tmp_path, b"0123456789")

    with pytest.raises(OutsideError) as caught:
        store.read_range(key, offset, length)

    assert store.address in str(caught.value)
    assert caught.value.hint


def test_a_range_of_an_absent_object_is_the_stores_failure(store: Store) -> None:
    with pytest.raises(OutsideError) as caught:
        store.read_range("models/a/1.0/a.mar", 0, 10)

    assert store.address in str(caught.value)
    assert caught.value.hint


def test_an_upload_reports_every_byte(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(3 * MIB + 1))
    moved: list[int] = []

    store.upload("a.mar", FileContent(source), on_bytes=moved.append)

    assert sum(moved) == 3 * MIB + 1


def test_uploading_what_is_there_moves_nothing(store: Store, tmp_path: Path) -> None:
    key = uploaded(store, tmp_path, b"0123456789")
    moved: list[int] = []

    store.upload(key, FileContent(tmp_path / "source"), on_bytes=moved.append)

    assert moved == []
    assert store.read(key) == b"0123456789"


def test_an_empty_file_can_be_uploaded(store: Store, tmp_path: Path) -> None:
    key = uploaded(store, tmp_path, b"")

    assert store.read(key) == b""


def test_what_is_deleted_is_gone(store: Store) -> None:
    store.create("probe/a", b"")
    assert store.leftovers() == []

    store.delete("probe/a")
    store.delete("probe/a")

    assert list(store.keys("")) == []


@pytest.mark.parametrize("store", ["memory", "local"], indirect=True)
def test_who_deletes_does_not_disturb_who_writes_beside_it(store: Store) -> None:
    def come_and_go(name: int) -> list[bool]:
        made = []
        for _ in range(300):
            made.append(store.create(f"probe/run/{name}", b""))
            store.delete(f"probe/run/{name}")
        return made

    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(come_and_go, range(3)))

    assert made == [[True] * 300] * 3
    assert list(store.keys("")) == []


@pytest.mark.parametrize("store", ["local", "radosgw"], indirect=True)
def test_a_file_larger_than_a_part_arrives_whole(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "large"
    pattern = secrets.token_bytes(MIB)
    digest = hashlib.sha256()
    with source.open("wb") as stream:
        for number in range(65):
            block = number.to_bytes(8, "big") + pattern[8:]
            stream.write(block)
            digest.update(block)
        stream.write(b"the end")
        digest.update(b"the end")
    moved: list[int] = []

    store.upload("large.mar", FileContent(source), on_bytes=moved.append)

    assert sum(moved) == 65 * MIB + 7
    found = hashlib.sha256()
    for number in range(65):
        found.update(store.read_range("large.mar", number * MIB, MIB))
    found.update(store.read_range("large.mar", 65 * MIB, 7))
    assert found.hexdigest() == digest.hexdigest()


@pytest.mark.parametrize("name", ["moto_server", "radosgw_at"])
def test_prefixes_keep_stores_of_one_bucket_apart(
    name: str, request: pytest.FixtureRequest, s3_store: Callable[..., S3Store]
) -> None:
    server = request.getfixturevalue(name)
    folder = uuid.uuid4().hex
    one = s3_store(server, prefix=f"/{folder}/one/")
    other = s3_store(server, prefix=f"{folder}/other")

    one.create("a/release.json", b"one")
    other.create("a/release.json", b"other")

    assert one.address == f"s3://{BUCKET}/{folder}/one"
    assert list(one.keys("a/")) == ["a/release.json"]
    assert one.read("a/release.json") == b"one"
    assert other.read("a/release.json") == b"other"
    everything = s3_store(server, prefix="")
    assert everything.address == f"s3://{BUCKET}"
    assert everything.read(f"{folder}/one/a/release.json") == b"one"
