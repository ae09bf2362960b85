"""Repositories on a GitHub of our own."""

from __future__ import annotations

import json
import textwrap
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import boto3
import pytest

from servers.fixtures import BUCKET
from servers.s3 import S3Server
from workflows.forge import Bucket, Forge, warm_tool
from workflows.forge import forge as forge_at
from workflows.harness import runner
from workflows.harness.actions import STANDARD
from workflows.harness.runner import Results
from workflows.harness.service import Environment, Event, Service, git

Toy = Callable[..., Results]


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """Runs one workflow, given as a text, in a repository that has little else."""

    def run(
        text: str,
        *,
        files: Mapping[str, str] | None = None,
        is_from_fork: bool = False,
        secrets: Mapping[str, str] | None = None,
        environments: Mapping[str, Environment] | None = None,
    ) -> Results:
        work, path = tmp_path / "work", ".github/workflows/toy.yml"
        work.mkdir()
        for name, content in {path: text, **(files or {})}.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(textwrap.dedent(content), "utf-8")
        git(work, "init", "--quiet", "--initial-branch=main")
        for message in ("one", "two"):
            git(work, "add", ".")
            git(work, "commit", "--quiet", "--allow-empty", "-m", message)
        git(tmp_path, "clone", "--quiet", "--bare", str(work), "origin.git")
        service = Service(
            origin=tmp_path / "origin.git",
            folder=tmp_path,
            actions=STANDARD,
            secrets=dict(secrets or {}),
            environments=dict(environments or {}),
        )
        event = Event(
            name="push",
            sha=service.git("rev-parse", "main"),
            ref="refs/heads/main",
            payload={},
            is_from_fork=is_from_fork,
        )
        return runner.run(service, path, event)

    return run


@pytest.fixture
def bucket(moto_server: S3Server) -> Bucket:
    """A store of its own, and who may use it."""
    return _bucket(moto_server)


@pytest.fixture
def strict_bucket(radosgw_at: S3Server) -> Bucket:
    """One in a server that checks signatures."""
    return _bucket(radosgw_at)


def _bucket(server: S3Server) -> Bucket:
    return Bucket(
        url=f"s3://{BUCKET}/{uuid.uuid4().hex}",
        endpoint_url=server.endpoint_url,
        keys={
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
        },
    )


@pytest.fixture(scope="session")
def warm() -> Iterator[Path]:
    """Where the tool listens, of which every ``ms`` on a runner is a fork."""
    with warm_tool() as socket:
        yield socket


@pytest.fixture
def forge(tmp_path: Path, bucket: Bucket, warm: Path) -> Forge:
    """A repository on GitHub in which no job needs a TorchServe."""
    return forge_at(tmp_path, bucket, warm=warm, stand_ins=("test",))


@pytest.fixture
def pointer(bucket: Bucket) -> Callable[[str], dict[str, object]]:
    """Reads a channel of the store."""
    client = boto3.session.Session(
        *bucket.keys.values(), region_name="us-east-1"
    ).client("s3", endpoint_url=bucket.endpoint_url)
    prefix = bucket.url.removeprefix(f"s3://{BUCKET}/")

    def read(channel: str) -> dict[str, object]:
        key = f"{prefix}/channels/{channel}.json"
        return json.loads(client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    return read
