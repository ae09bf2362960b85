"""Fixtures: S3 servers that run as long as the tests, and stores in them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import boto3
import pytest

from model_servers.adapters.s3_store import S3Store
from servers import radosgw as radosgw_server
from servers.s3 import S3Server, moto

BUCKET = "releases"


@pytest.fixture(scope="session")
def moto_server() -> Iterator[S3Server]:
    with moto() as server:
        _make_bucket(server)
        yield server


@pytest.fixture(scope="session")
def radosgw_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    reason = radosgw_server.why_not()
    if reason is not None:
        pytest.skip(reason)
    with radosgw_server.radosgw(tmp_path_factory.mktemp("radosgw")) as server:
        _make_bucket(server)
        yield server


def _make_bucket(server: S3Server) -> None:
    client = boto3.session.Session(
        server.access_key, server.secret_key, region_name="us-east-1"
    ).client("s3", endpoint_url=server.endpoint_url)
    client.create_bucket(Bucket=BUCKET)
    client.close()


@pytest.fixture(scope="session")
def sessions() -> dict[tuple[str, str], object]:
    """What boto3 keeps per process, here per credentials: it is slow to make."""
    return {}


@pytest.fixture
def s3_store(
    monkeypatch: pytest.MonkeyPatch, sessions: dict[tuple[str, str], object]
) -> Callable[..., S3Store]:
    """Connect as a user does: credentials come from the environment."""

    def connect(
        server: S3Server,
        *,
        bucket: str = BUCKET,
        prefix: str | None = None,
        secret_key: str | None = None,
        endpoint_url: str | None = None,
        **options: float,
    ) -> S3Store:
        keys = server.access_key, secret_key or server.secret_key
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        # boto3 keeps a session, and with it the first credentials it found.
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", sessions.get(keys))
        prefix = uuid.uuid4().hex if prefix is None else prefix
        endpoint_url = endpoint_url or server.endpoint_url
        store = S3Store(bucket, prefix, endpoint_url=endpoint_url, **options)
        sessions[keys] = boto3.DEFAULT_SESSION
        return store

    return connect
