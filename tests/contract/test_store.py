"""What every store promises, asked of the fake and of the real ones."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from fakes.store import MemoryStore
from model_servers.adapters.file_content import FileContent
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.s3_store import S3Store
from model_servers.core.objects import Copied, Moved, Part, Sent
from model_servers.errors import OutsideError
from model_servers.ports import ProbedStore as Store
from servers.s3 import S3Server

BUCKET = "releases"
MIB = 2**20


@pytest.fixture(params=["memory", "local", "moto", "radosgw"])
def store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    s3_store: Callable[..., S3Store],
) -> Store:
    """An empty store of each kind."""
    match request.param:
        case "memory":
            return MemoryStore()
        case "local":
            return LocalStore(tmp_path / "store")
        case "moto":
            return s3_store(request.getfixturevalue("moto_server"))
        case _:
            return s3_store(request.getfixturevalue("radosgw_at"))


def _uploaded(store: Store, tmp_path: Path, data: bytes, key: str = "a/b.mar") -> str:
    source = tmp_path / "source"
    source.write_bytes(data)
    store.upload(key, FileContent(source), on_bytes=lambda count: None)
    return key


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
    key = _uploaded(store, tmp_path, data)

    assert store.read_range(key, 0, 100) == data[:100]
    assert store.read_range(key, 4096, 17) == data[4096:4113]
    assert store.read_range(key, 9_999, 1) == data[-1:]
    assert store.read_range(key, 0, 10_000) == data


def test_an_empty_range_is_empty(store: Store, tmp_path: Path) -> None:
    key = _uploaded(store, tmp_path, b"0123456789")

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
    key = _uploaded(store, tmp_path, b"0123456789")

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
    key = _uploaded(store, tmp_path, b"0123456789")
    moved: list[int] = []

    store.upload(key, FileContent(tmp_path / "source"), on_bytes=moved.append)

    assert moved == []
    assert store.read(key) == b"0123456789"


def test_an_empty_file_can_be_uploaded(store: Store, tmp_path: Path) -> None:
    key = _uploaded(store, tmp_path, b"")

    assert store.read(key) == b""


def _swapped(store: Store, key: str, body: bytes) -> bool:
    found = store.read_movable(key)
    return store.swap(key, body, found and found.token)


def test_what_was_swapped_in_can_be_read_and_swapped_again(store: Store) -> None:
    assert _swapped(store, "channels/stable.json", b"1")
    assert _swapped(store, "channels/stable.json", b"2")
    assert _swapped(store, "channels/stable.json", b"3")

    assert store.read("channels/stable.json") == b"3"
    assert list(store.keys("channels/")) == ["channels/stable.json"]


def test_a_swap_that_expects_something_else_changes_nothing(store: Store) -> None:
    _swapped(store, "index.json", b"1")
    first = store.read_movable("index.json")
    assert first is not None
    _swapped(store, "index.json", b"2")

    assert store.swap("index.json", b"3", first.token) is False
    assert store.swap("index.json", b"3", None) is False
    assert store.swap("other.json", b"3", first.token) is False
    assert store.read("index.json") == b"2"
    assert store.read("other.json") is None


@pytest.mark.parametrize("store", ["memory", "local", "radosgw"], indirect=True)
def test_of_racing_swaps_none_is_lost(store: Store) -> None:
    # moto looks and then writes, in two steps, so it loses some.
    def add(number: int) -> None:
        while True:
            found = store.read_movable("index.json")
            body = (found.body if found else b"") + b"%d," % number
            if store.swap("index.json", body, found and found.token):
                return

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(add, range(9)))

    body = store.read("index.json")
    assert body is not None
    assert sorted(body.decode().split(",")) == ["", *map(str, range(9))]


def test_an_object_has_a_size_and_another_token_for_other_bytes(
    store: Store, tmp_path: Path
) -> None:
    _uploaded(store, tmp_path, b"0123456789", key="a.mar")
    _uploaded(store, tmp_path, b"9876543210", key="b.mar")

    one, other = store.stat("a.mar"), store.stat("b.mar")

    assert one is not None
    assert other is not None
    assert (one.size_bytes, other.size_bytes) == (10, 10)
    assert one.token != other.token
    assert store.stat("c.mar") is None


def test_a_pinned_read_refuses_other_bytes(store: Store, tmp_path: Path) -> None:
    key = _uploaded(store, tmp_path, b"0123456789", key="a.mar")
    _uploaded(store, tmp_path, b"9876543210", key="b.mar")
    pins = [store.stat(each) for each in (key, "b.mar")]
    assert all(pins)

    assert store.read_range(key, 2, 3, token=pins[0].token) == b"234"
    with pytest.raises(OutsideError, match="changed") as caught:
        store.read_range(key, 2, 3, token=pins[1].token)
    assert caught.value.hint


def _composed(
    store: Store, tmp_path: Path, data: bytes, parts: list[Part]
) -> tuple[Moved, int]:
    source = tmp_path / "composed"
    source.write_bytes(data)
    moved: list[int] = []
    result = store.compose("new.mar", FileContent(source), parts, on_bytes=moved.append)
    return result, sum(moved)


OLD = secrets.token_bytes(11 * MIB)


def test_an_object_can_be_made_of_ranges_of_another(
    store: Store, tmp_path: Path
) -> None:
    key = _uploaded(store, tmp_path, OLD, key="old.mar")
    tail = b"other code"
    new = OLD[: 5 * MIB] + OLD[6 * MIB : 11 * MIB] + tail
    parts: list[Part] = [
        Copied(key, 0, 5 * MIB),
        Copied(key, 6 * MIB, 5 * MIB),
        Sent(10 * MIB, len(tail)),
    ]

    moved, told = _composed(store, tmp_path, new, parts)

    assert moved == Moved(sent_bytes=len(tail), copied_bytes=10 * MIB)
    assert told == len(new)
    assert store.read_range("new.mar", 0, len(new)) == new


def test_an_object_can_be_a_whole_range_of_another(
    store: Store, tmp_path: Path
) -> None:
    key = _uploaded(store, tmp_path, OLD, key="old.mar")
    new = OLD[MIB : 7 * MIB]

    moved, _ = _composed(store, tmp_path, new, [Copied(key, MIB, 6 * MIB)])

    assert moved == Moved(copied_bytes=6 * MIB)
    assert store.read_range("new.mar", 0, len(new)) == new


def test_composing_what_is_there_moves_nothing(store: Store, tmp_path: Path) -> None:
    data = b"0123456789"
    _composed(store, tmp_path, data, [Sent(0, 10)])

    assert _composed(store, tmp_path, data, [Sent(0, 10)]) == (Moved(), 0)


@pytest.mark.parametrize("store", ["local", "moto", "radosgw"], indirect=True)
def test_copied_bytes_that_are_others_are_noticed_and_sent(
    store: Store, tmp_path: Path
) -> None:
    key = _uploaded(store, tmp_path, OLD, key="old.mar")
    new = bytes(6 * MIB)

    moved, _ = _composed(store, tmp_path, new, [Copied(key, 0, 6 * MIB)])

    assert moved.sent_bytes == 6 * MIB
    assert moved.why_not_copied == "the copy is not what it should be"
    assert store.read_range("new.mar", 0, len(new)) == new


@pytest.mark.parametrize("store", ["local", "moto", "radosgw"], indirect=True)
def test_a_damaged_object_of_the_right_size_is_replaced(
    store: Store, tmp_path: Path
) -> None:
    store.create("new.mar", b"9876543210")

    moved, _ = _composed(store, tmp_path, b"0123456789", [Sent(0, 10)])

    assert moved == Moved(sent_bytes=10)
    assert store.read("new.mar") == b"0123456789"


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


CALLS = [
    pytest.param(lambda store, file: list(store.keys("a")), id="keys"),
    pytest.param(lambda store, file: store.swap("a", b"a", None), id="swap"),
    pytest.param(lambda store, file: store.read("a"), id="read"),
    pytest.param(lambda store, file: store.read_range("a", 0, 1), id="read_range"),
    pytest.param(lambda store, file: store.create("a", b"a"), id="create"),
    pytest.param(
        lambda store, file: store.upload("a", FileContent(file), on_bytes=print),
        id="upload",
    ),
]


def _failure(
    store: Store, call: Callable[[Store, Path], object], tmp_path: Path
) -> OutsideError:
    source = tmp_path / "source"
    source.write_bytes(b"a")
    with pytest.raises(OutsideError) as caught:
        call(store, source)
    return caught.value


@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_is_not_there_is_told_as_such(
    call: Callable[[Store, Path], object],
    s3_store: Callable[..., S3Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    nobody = S3Server(
        endpoint_url=f"http://127.0.0.1:{port}", access_key="a", secret_key="b"
    )
    store = s3_store(nobody, prefix="models")
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)  # between boto's tries

    error = _failure(store, call, tmp_path)

    assert str(error).startswith("the store s3://releases/models cannot be reached: ")
    assert f"127.0.0.1:{port}" in str(error)
    assert error.hint == (
        "check the network and --endpoint-url, then repeat the command"
    )
    assert sum(waited) < 20


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", ["moto_server", "radosgw_at"])
def test_a_bucket_that_is_not_there_is_told_as_such(
    name: str,
    call: Callable[[Store, Path], object],
    request: pytest.FixtureRequest,
    s3_store: Callable[..., S3Store],
    tmp_path: Path,
) -> None:
    server = request.getfixturevalue(name)
    store = s3_store(server, bucket="no-such-bucket", prefix="models")

    error = _failure(store, call, tmp_path)

    assert str(error).startswith("the store s3://no-such-bucket/models ")
    assert "NoSuchBucket: there is no such bucket" in str(error)
    assert "aws s3 mb" in error.hint


@pytest.mark.parametrize("call", CALLS)
def test_a_wrong_secret_is_told_as_such(
    call: Callable[[Store, Path], object],
    radosgw_at: S3Server,
    s3_store: Callable[..., S3Store],
    tmp_path: Path,
) -> None:
    store = s3_store(radosgw_at, prefix="models", secret_key="wrong")

    error = _failure(store, call, tmp_path)

    assert str(error).startswith("the store s3://releases/models answered ")
    assert "credentials" in str(error)
    assert error.hint


def test_without_credentials_the_hint_names_them(
    moto_server: S3Server,
    s3_store: Callable[..., S3Store],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    s3_store(moto_server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.fspath(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", os.fspath(tmp_path / "none"))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    store = S3Store(BUCKET, "", endpoint_url=moto_server.endpoint_url)

    with pytest.raises(OutsideError) as caught:
        store.read("a")

    assert "without AWS credentials" in str(caught.value)
    assert "AWS_PROFILE" in caught.value.hint


def test_a_local_folder_that_cannot_be_listed_is_not_an_empty_store(
    tmp_path: Path,
) -> None:
    (tmp_path / "models").symlink_to("models")

    with pytest.raises(OutsideError) as caught:
        list(LocalStore(tmp_path).keys("models/a/"))

    assert str(caught.value).startswith(f"the store file://{tmp_path} failed: ")
    assert caught.value.hint


def test_a_local_store_lists_no_file_that_is_being_written(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create("a/release.json", b"{}")
    (tmp_path / "a" / ".partial-0123456789abcdef").write_bytes(b"half of it")

    assert list(store.keys("")) == ["a/release.json"]


def test_a_local_store_where_a_file_stands_says_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")

    with pytest.raises(OutsideError) as caught:
        LocalStore(tmp_path / "store").create("a/release.json", b"{}")

    assert str(caught.value).startswith(f"the store file://{tmp_path}/store failed: ")
    assert caught.value.hint.startswith("check that the folder exists")
