"""A store in a real S3 server, and a host that reads it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from benchmarks.releases.measured import MS, Run, run
from model_servers.core.names import Ref
from servers.s3 import S3Server

BUCKET = "releases"


@dataclass(frozen=True)
class Bench:
    """One host: its folder, its store, and its ``ms``."""

    folder: Path
    server: S3Server
    torchserve: dict[str, str] = field(default_factory=dict)
    """Addresses of what serves, by their names in the profile."""

    @property
    def model_store(self) -> Path:
        return self.folder / "model_store"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.server.access_key,
            "AWS_SECRET_ACCESS_KEY": self.server.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def s3(self) -> Any:
        session = boto3.session.Session(
            self.server.access_key, self.server.secret_key, region_name="us-east-1"
        )
        return session.client("s3", endpoint_url=self.server.endpoint_url)

    def wants(self, **models: str) -> None:
        """Write the profile."""
        document = {
            "schema": 1,
            "store": f"s3://{BUCKET}",
            "model_store": str(self.model_store),
            "torchserve": self.torchserve,
            "models": models,
            "policy": {"drain_s": 0},
        }
        (self.folder / "sync.yaml").write_text(json.dumps(document))

    def ms(self, *arguments: str, endpoint_url: str = "", ends_with: int = 0) -> Run:
        """Run ``ms``, which must end with that status."""
        at = ["--endpoint-url", endpoint_url or self.server.endpoint_url]
        ended = ["sh", "-c", f'"$@"; test $? = {ends_with}', "ms"]
        return self.run([*ended, *MS, *arguments, *at])

    def run(self, command: list[str]) -> Run:
        return run(command, cwd=self.folder, environment=self.environment)

    def publish(self, registry: Path) -> None:
        store = ["--store", f"s3://{BUCKET}"]
        self.ms("publish", "--registry", str(registry), *store)

    def key(self, ref: str) -> str:
        """Give where the archive of a release is."""
        found = Ref.parse(ref)
        prefix = f"models/{found.name}/{found.version}/"
        listed = self.s3().list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
        (key,) = (one["Key"] for one in listed if one["Key"].endswith(".mar"))
        return str(key)

    def afresh(self) -> None:
        """Have nothing on the disk."""
        shutil.rmtree(self.model_store, ignore_errors=True)
        self.model_store.mkdir()
