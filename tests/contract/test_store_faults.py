"""What networks and servers do to a store, done by a proxy before a real one."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_servers.adapters import s3_transfer
from model_servers.adapters.file_content import FileContent, HashedContent
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.s3_store import S3Store
from model_servers.core.objects import Copied, Moved, Sent
from model_servers.errors import OutsideError
from servers.https import Shaky, https
from servers.proxy import Fault, Proxy, Refusal, proxy
from servers.s3 import S3Server

MIB = 2**20
SLOW_DOWN = Refusal(503, "SlowDown")


@pytest.fixture
def between(radosgw_at: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between tries
    with proxy(radosgw_at.endpoint_url) as running:
        yield running


@pytest.fixture
def store(
    between: Proxy, radosgw_at: S3Server, s3_store: Callable[..., S3Store]
) -> S3Store:
    return s3_store(radosgw_at, endpoint_url=between.endpoint_url, read_timeout_s=0.5)


def _uploaded(store: S3Store, tmp_path: Path, data: bytes) -> str:
    source = tmp_path / "source"
    source.write_bytes(data)
    store.upload("a.mar", FileContent(source), on_bytes=lambda count: None)
    return "a.mar"


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([Fault.CUT], id="cut body"),
        pytest.param([Fault.CUT, Fault.CUT, Fault.CUT], id="three cut bodies"),
        pytest.param([Fault.STALL], id="stall"),
        pytest.param([Fault.RESET, Fault.RESET], id="resets"),
        pytest.param([SLOW_DOWN, SLOW_DOWN, SLOW_DOWN], id="throttling"),
        pytest.param([Refusal(500, "InternalError"), Fault.CUT], id="500, then cut"),
    ],
)
def test_a_read_survives_what_passes(
    store: S3Store, between: Proxy, tmp_path: Path, faults: list[Fault | Refusal]
) -> None:
    data = secrets.token_bytes(200_000)
    key = _uploaded(store, tmp_path, data)
    between.next("GET", *faults)

    assert store.read_range(key, 1000, 150_000) == data[1000:151_000]
    assert not between.faults["GET"]


@pytest.mark.parametrize("times", [1, 100])
def test_a_body_that_tls_does_not_understand_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between tries
    data = secrets.token_bytes(3 * MIB)
    shaky = Shaky(body=data, garbles_after=deque([2 * MIB, *[0] * (times - 1)]))
    with https(tmp_path, {"/bucket/a.mar": shaky}) as (host, certificate):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        store = S3Store("bucket", "", endpoint_url=f"https://{host}")

        if times == 1:
            assert store.read_range("a.mar", 5, 3 * MIB - 5) == data[5:]
        else:
            with pytest.raises(OutsideError, match=r"cannot be reached: \[SSL"):
                store.read_range("a.mar", 5, 3 * MIB - 5)

    assert len(set(shaky.asked)) == 2


def test_what_arrived_before_a_cut_is_not_asked_for_again(
    store: S3Store, between: Proxy, tmp_path: Path
) -> None:
    data = secrets.token_bytes(8 * MIB)
    key = _uploaded(store, tmp_path, data)
    between.seen.clear()
    between.next("GET", Fault.CUT)

    found = list(store.chunks(key, 5, 7 * MIB))

    assert b"".join(found) == data[5 : 7 * MIB + 5]
    assert max(map(len, found)) < 2 * MIB
    first, second = (one.answer_bytes for one in between.seen)
    assert (first, second) == (7 * MIB, 7 * MIB // 2)


@pytest.mark.parametrize("fault", [Fault.CUT, SLOW_DOWN, Fault.RESET])
def test_a_read_that_never_works_ends(
    store: S3Store, between: Proxy, tmp_path: Path, fault: Fault | Refusal
) -> None:
    key = _uploaded(store, tmp_path, bytes(1000))
    between.next("GET", *[fault] * 100)

    with pytest.raises(OutsideError) as caught:
        store.read_range(key, 0, 1000)

    assert "repeat the command" in caught.value.hint


def test_a_flipped_bit_passes_the_store_so_readers_must_verify(
    store: S3Store, between: Proxy, tmp_path: Path
) -> None:
    data = secrets.token_bytes(1000)
    key = _uploaded(store, tmp_path, data)
    between.next("GET", Fault.FLIPPED_BIT)

    assert store.read_range(key, 0, 1000) != data


@pytest.mark.parametrize(
    "fault", [pytest.param(SLOW_DOWN, id="throttling"), Fault.RESET]
)
def test_an_upload_in_parts_survives_what_passes(
    store: S3Store, between: Proxy, tmp_path: Path, fault: Fault | Refusal
) -> None:
    data = secrets.token_bytes(40 * MIB)
    between.next("PUT", fault, fault)

    key = _uploaded(store, tmp_path, data)

    assert store.read_range(key, 0, 40 * MIB) == data


def test_an_upload_that_fails_leaves_nothing(
    store: S3Store, between: Proxy, tmp_path: Path
) -> None:
    between.next("PUT", *[SLOW_DOWN] * 100)

    with pytest.raises(OutsideError, match="the store is overloaded") as caught:
        _uploaded(store, tmp_path, bytes(40 * MIB))

    assert "goes on where it stopped" in caught.value.hint
    assert store.leftovers() == []
    assert list(store.keys("")) == []


def test_a_file_that_changes_while_it_is_uploaded_leaves_nothing(
    store: S3Store, between: Proxy, tmp_path: Path
) -> None:
    data = secrets.token_bytes(150 * MIB)
    source = tmp_path / "source"
    source.write_bytes(data)
    content = HashedContent(source, hashlib.sha256(data).hexdigest())

    def change(number: int) -> None:
        if number == 3:  # after it was begun, and some parts are on their way
            source.write_bytes(data[:-1])

    between.before = change

    with pytest.raises(OutsideError, match="changed after it was hashed"):
        store.upload("a.mar", content, on_bytes=lambda count: None)

    assert store.leftovers() == []
    assert list(store.keys("")) == []


def test_where_ranges_cannot_be_copied_everything_is_sent(
    store: S3Store,
    between: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = secrets.token_bytes(6 * MIB)
    key = _uploaded(store, tmp_path, data)
    new = data + b"other code"
    source = tmp_path / "new"
    source.write_bytes(new)
    monkeypatch.setattr(s3_transfer, "PARALLEL_PARTS", 1)  # the copy goes first
    between.next("PUT", *[Refusal(400, "NotImplemented")])

    moved = store.compose(
        "b.mar",
        FileContent(source),
        [Copied(key, 0, 6 * MIB), Sent(6 * MIB, 10)],
        on_bytes=lambda count: None,
    )

    assert moved.sent_bytes == len(new)
    assert moved.copied_bytes == 0
    assert "NotImplemented" in moved.why_not_copied
    assert store.read_range("b.mar", 0, len(new)) == new
    assert store.leftovers() == []


def test_copying_inside_the_store_moves_kilobytes(
    store: S3Store, between: Proxy, tmp_path: Path
) -> None:
    data = secrets.token_bytes(40 * MIB)
    key = _uploaded(store, tmp_path, data)
    source = tmp_path / "new"
    source.write_bytes(data + b"other code")
    between.seen.clear()

    moved = store.compose(
        "b.mar",
        FileContent(source),
        [Copied(key, 0, 40 * MIB), Sent(40 * MIB, 10)],
        on_bytes=lambda count: None,
    )

    assert moved == Moved(sent_bytes=10, copied_bytes=40 * MIB)
    assert sum(seen.body_bytes for seen in between.seen) < 1_000
    assert sum(seen.answer_bytes for seen in between.seen) < 40_000


@pytest.mark.parametrize(
    ("refusal", "message", "hint"),
    [
        (Refusal(400, "ExpiredToken"), "the credentials have expired", "log in again"),
        (
            Refusal(403, "RequestTimeTooSkewed"),
            "the clock of this machine is wrong",
            "set the clock",
        ),
        (Refusal(403, "AccessDenied"), "the credentials may not do this", "owner"),
        (SLOW_DOWN, "the store is overloaded", "in a while"),
        (
            Refusal(400, "AuthorizationHeaderMalformed"),
            "the bucket is in another region",
            "AWS_REGION",
        ),
    ],
    ids=lambda value: getattr(value, "code", None),
)
def test_a_refusal_is_told_in_words_with_what_to_do(
    store: S3Store, between: Proxy, refusal: Refusal, message: str, hint: str
) -> None:
    between.next("GET", *[refusal] * 20)

    with pytest.raises(OutsideError) as caught:
        store.read("release.json")

    assert f"answered {refusal.code}: {message}" in str(caught.value)
    assert hint in caught.value.hint


def test_an_upload_that_was_killed_is_found_and_taken_away(
    store: S3Store,
) -> None:
    store._s3.create_multipart_upload(Bucket="releases", Key=f"{store._prefix}a.mar")

    left = store.leftovers()

    assert [(one.key, one.is_abandoned) for one in left] == [("a.mar", False)]
    store.abort(left[0])
    store.abort(left[0])
    assert store.leftovers() == []


def test_an_upload_that_was_killed_long_ago_is_abandoned(
    moto_server: S3Server, s3_store: Callable[..., S3Store]
) -> None:
    # moto says of every upload that it began in 2010.
    store = s3_store(moto_server)
    store._s3.create_multipart_upload(Bucket="releases", Key=f"{store._prefix}a.mar")

    assert [one.is_abandoned for one in store.leftovers()] == [True]


def test_an_etag_that_the_server_does_not_know_is_no_rival(
    store: S3Store, between: Proxy
) -> None:
    store.create("index.json", b"1")
    found = store.read_movable("index.json")
    assert found is not None
    between.next("PUT", *[Refusal(412, "PreconditionFailed")] * 2)

    with pytest.raises(OutsideError, match="does not know the ETag") as caught:
        store.swap("index.json", b"2", found.token)

    assert "ms store doctor" in caught.value.hint


def test_a_local_writer_that_was_killed_is_told_from_one_at_work(
    tmp_path: Path,
) -> None:
    store = LocalStore(tmp_path)
    partial = tmp_path / "a" / ".partial-0123"
    partial.parent.mkdir()
    partial.write_bytes(b"half")

    assert [one.is_abandoned for one in store.leftovers()] == [False]
    os.utime(partial, (0, 0))
    left = store.leftovers()
    assert [one.is_abandoned for one in left] == [True]
    store.abort(left[0])
    assert store.leftovers() == []
