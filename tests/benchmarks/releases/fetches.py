"""Fetches out of a real S3 server, beside clients that verify nothing."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import boto3

import zoo
from benchmarks.releases.builds import registry_of
from benchmarks.releases.measured import MS, Run, best, run
from model_servers.adapters.s3_transfer import PARALLEL_PARTS
from model_servers.core.reuse import COPIED_PART_BYTES
from servers.proxy import proxy
from servers.s3 import S3Server

BUCKET = "releases"
PUBLISH = "ms publish, with its build"
_TIMED = """\
import json, sys, time
began, before = time.perf_counter(), time.process_time()
def done():
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "cpu_s": time.process_time() - before}))
"""
_BOTO3 = f"""\
import hashlib, sys
import boto3
bucket, key, path, endpoint_url = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint_url)
{_TIMED}
client.download_file(bucket, key, path)
digest = hashlib.sha256()
with open(path, "rb") as stream:
    while chunk := stream.read(2**20):
        digest.update(chunk)
done()
"""
_OURS = f"""\
import sys
from pathlib import Path
from model_servers.cli import wire
from model_servers.cli.watch import watcher
bucket, folder, endpoint_url = sys.argv[1:]
store = wire.store(f"s3://{{bucket}}", endpoint_url=endpoint_url)
journey = wire.fetch(Path(folder), store)
{_TIMED}
with watcher() as console:
    journey.run("big@1.0", console)
done()
"""


class Bench:
    """A server with releases of one model, and a folder to fetch into."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        self._folder = folder
        self._here = folder / "here"
        self._environment = {
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self._endpoint = server.endpoint_url
        self._s3 = boto3.session.Session(
            server.access_key, server.secret_key, region_name="us-east-1"
        ).client("s3", endpoint_url=server.endpoint_url)
        self._s3.create_bucket(Bucket=BUCKET)

    def publish(self, checkpoint: Path, version: str, *, code: str) -> Run:
        """Release a version."""
        registry = registry_of(
            self._folder, checkpoint, version=version, code=f"{code}{zoo.HANDLER}"
        )
        return self._ms("publish", "--registry", str(registry))

    def publish_code(self, version: str, *, code: str) -> Run:
        """Release what was published last with other code; its weights stay."""
        model = self._folder / "registry" / "big"
        text = (model / "model.yaml").read_text()
        changed = re.sub(r"(?m)^version: .*$", f'version: "{version}"', text)
        (model / "model.yaml").write_text(changed)
        (model / "handler_model.py").write_text(f"{code}{zoo.HANDLER}")
        return self._ms("publish", "--registry", "registry")

    def measure(self, *, rounds: int) -> dict[str, Run]:
        """Fetch 1.0 with every client that is here."""
        found = {
            "ms fetch, verified": best(rounds, self.fetch, before=self._afresh),
            "boto3 download_file, then sha256": best(
                rounds, self._boto3, before=self._afresh
            ),
        }
        loaded = {
            "ms fetch, once it is loaded": best(
                rounds, lambda: _inside(self._ours()), before=self._afresh
            ),
            "boto3 and sha256, once loaded": best(
                rounds, lambda: _inside(self._boto3()), before=self._afresh
            ),
        }
        target = str(self._here / "other.mar")
        source = f"s3://{BUCKET}/{self._key()}"
        if aws := shutil.which("aws"):
            copy = [aws, "--endpoint-url", self._endpoint, "s3", "cp", source, target]
            found["aws s3 cp, not verified"] = best(
                rounds, lambda: self._run(copy), before=self._afresh
            )
        if s5cmd := shutil.which("s5cmd"):
            fetch = [s5cmd, "--endpoint-url", self._endpoint, "cp", source, target]
            found["s5cmd cp, not verified"] = best(
                rounds, lambda: self._run(fetch), before=self._afresh
            )
        return {**found, **loaded}

    def publish_beside(self, checkpoint: Path, version: str) -> dict[str, Run]:
        """Release a version, and do the same with the archiver's bytes and aws."""
        found = {PUBLISH: self.publish(checkpoint, version, code="")}
        if aws := shutil.which("aws"):
            built = self._run(
                [*MS, "build", "big", "--registry", "registry", "-o", str(self._folder)]
            )
            source = str(self._folder / f"big-{version}.mar")
            copy = [aws, "--endpoint-url", self._endpoint, "s3", "cp", source]
            copied = self._run([*copy, f"s3://{BUCKET}/elsewhere.mar"])
            found["ms build, then aws s3 cp"] = Run(
                seconds=built.seconds + copied.seconds,
                cpu_s=built.cpu_s + copied.cpu_s,
                memory_mb=max(built.memory_mb, copied.memory_mb),
                out="",
            )
        return found

    def copy_inside(self, version: str) -> Run:
        """Have the server copy an archive by range, in as many parts as we ask for."""
        began = time.perf_counter()
        source = {"Bucket": BUCKET, "Key": self._key(version)}
        size_bytes = self._s3.head_object(**source)["ContentLength"]
        target = {"Bucket": BUCKET, "Key": "copied.mar"}
        upload = self._s3.create_multipart_upload(**target)["UploadId"]

        def copy(number: int) -> dict[str, object]:
            start = (number - 1) * COPIED_PART_BYTES
            end = min(start + COPIED_PART_BYTES, size_bytes) - 1
            copied = self._s3.upload_part_copy(
                **target,
                UploadId=upload,
                PartNumber=number,
                CopySource=source,
                CopySourceRange=f"bytes={start}-{end}",
            )
            return {"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]}

        with ThreadPoolExecutor(PARALLEL_PARTS) as pool:
            parts = list(
                pool.map(copy, range(1, 1 + -(-size_bytes // COPIED_PART_BYTES)))
            )
        self._s3.complete_multipart_upload(
            **target, UploadId=upload, MultipartUpload={"Parts": parts}
        )
        seconds = time.perf_counter() - began
        return Run(seconds=seconds, cpu_s=0, memory_mb=0, out="")

    def put(self, key: str, body: bytes) -> None:
        """Write an object, whatever it is."""
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def publish_all(self, registry: Path, prefix: str) -> Run:
        """Publish a registry into a store of its own."""
        store = ["--store", f"s3://{BUCKET}/{prefix}", "--endpoint-url", self._endpoint]
        flags = ["publish", "--registry", str(registry), "--json"]
        return self._run([*MS, *flags, *store])

    @contextmanager
    def counting(self) -> Iterator[Callable[[], int]]:
        """Count the requests of a block; they take longer meanwhile."""
        direct = self._endpoint
        with proxy(direct) as between:
            self._endpoint = between.endpoint_url
            try:
                yield lambda: len(between.seen)
            finally:
                self._endpoint = direct

    def fetch(self, version: str = "1.0") -> Run:
        """Fetch a version beside what is there."""
        flags = [f"big@{version}", "-o", str(self._here), "--json"]
        return self._ms("fetch", *flags)

    def fetch_after(self, before: str, version: str, *, rounds: int) -> Run:
        """Fetch a version where another one is."""

        def there() -> None:
            self._afresh()
            self.fetch(before)

        return best(rounds, lambda: self.fetch(version), before=there)

    def _boto3(self) -> Run:
        target = str(self._here / "other.mar")
        script = [sys.executable, "-c", _BOTO3, BUCKET, self._key(), target]
        return self._run([*script, self._endpoint])

    def _ours(self) -> Run:
        script = [sys.executable, "-c", _OURS, BUCKET, str(self._here)]
        return self._run([*script, self._endpoint])

    def _key(self, version: str = "1.0") -> str:
        prefix = f"models/big/{version}/"
        listed = self._s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        (key,) = (one["Key"] for one in listed["Contents"] if one["Size"] > 10**6)
        return key

    def _ms(self, *arguments: str) -> Run:
        store = ["--store", f"s3://{BUCKET}", "--endpoint-url", self._endpoint]
        return self._run([*MS, *arguments, *store])

    def _run(self, command: list[str]) -> Run:
        return run(command, cwd=self._folder, environment=self._environment)

    def _afresh(self) -> None:
        shutil.rmtree(self._here, ignore_errors=True)
        self._here.mkdir()


def fetched_bytes(run: Run) -> int:
    """Say how many bytes a fetch has brought."""
    return int(json.loads(run.out)["fetched_bytes"])


def _inside(run: Run) -> Run:
    """Give what a script has measured itself, without its start."""
    return replace(run, **json.loads(run.out.splitlines()[-1]))
