"""Stores that are not there, or whose user is not let in, say so."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from contract.stored import BUCKET
from model_servers.adapters.file_content import FileContent
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.s3_store import S3Store
from model_servers.errors import OutsideError
from model_servers.ports import ProbedStore as Store
from servers.s3 import S3Server

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
