"""A store in S3, or in a server that speaks its API, through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from model_servers.errors import OutsideError
from model_servers.ports import OnBytes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_MIB = 2**20
_TRANSFER = TransferConfig(
    multipart_threshold=64 * _MIB,
    multipart_chunksize=64 * _MIB,
    max_concurrency=4,
    preferred_transfer_client="classic",
)
"""As fast as any client measured on loopback, with the least memory."""

_ALREADY_THERE = {"PreconditionFailed", "412"}
_NOT_THERE = {"NoSuchKey", "404", "NotFound"}
_RACING = {"ConditionalRequestConflict", "409"}
_RACES = 8


class S3Store:
    """Keys are object keys below ``s3://bucket/prefix``."""

    def __init__(
        self, bucket: str, prefix: str, *, endpoint_url: str | None = None
    ) -> None:
        """Connect with the standard credential chain; nothing is sent yet."""
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.address = f"s3://{bucket}/{self._prefix}".rstrip("/")
        with self._outside():
            self._s3: S3Client = boto3.client(
                "s3",
                endpoint_url=endpoint_url,
                config=Config(
                    max_pool_connections=32,
                    retries={"mode": "standard", "max_attempts": 5},
                    connect_timeout=5,
                    read_timeout=60,
                    tcp_keepalive=True,
                    # Ranges carry no checksum; every byte is hashed by us.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with *prefix*, sorted."""
        pages = self._s3.get_paginator("list_objects_v2")
        with self._outside():
            for page in pages.paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            ):
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(self._prefix)

    def read(self, key: str) -> bytes | None:
        """Give a small object; None if there is none."""
        with self._outside():
            try:
                answer = self._s3.get_object(**self._object(key))
                return answer["Body"].read()
            except ClientError as error:
                if _code(error) in _NOT_THERE:
                    return None
                raise

    def read_range(self, key: str, offset: int, length: int) -> bytes:
        """Give exactly *length* bytes of an object."""
        if length == 0:
            return b""  # S3 has no empty range
        wanted = f"bytes={offset}-{offset + length - 1}"
        with self._outside():
            answer = self._s3.get_object(**self._object(key), Range=wanted)
            data = answer["Body"].read()
        if len(data) != length:
            raise OutsideError(
                f"{self.address}/{key} gave {len(data)} of the {length} bytes at "
                f"{offset}",
                hint="run the command again",
            )
        return data

    def create(self, key: str, body: bytes) -> bool:
        """Write a small object if there is none, and say whether it did.

        One conditional PUT. A conflict (409) says that another writer is at it at
        this moment, so the question is asked again.
        """
        with self._outside():
            for race in range(_RACES):
                try:
                    self._s3.put_object(**self._object(key), Body=body, IfNoneMatch="*")
                except ClientError as error:
                    if _code(error) in _ALREADY_THERE:
                        return False
                    if _code(error) not in _RACING or race == _RACES - 1:
                        raise
                else:
                    return True
        raise AssertionError  # the last race returns or raises

    def upload(self, key: str, source: Path, *, on_bytes: OnBytes) -> None:
        """Upload a file, unless an object of its size is there already."""
        size_bytes = source.stat().st_size
        with self._outside():
            if self._size(key) == size_bytes:
                return
            self._s3.upload_file(
                str(source),
                self._bucket,
                self._prefix + key,
                Callback=on_bytes,
                Config=_TRANSFER,
            )
            found = self._size(key)
        if found != size_bytes:
            raise OutsideError(
                f"{self.address}/{key} has {found} bytes after the upload of "
                f"{size_bytes}",
                hint="run the command again",
            )

    def _size(self, key: str) -> int | None:
        try:
            return self._s3.head_object(**self._object(key))["ContentLength"]
        except ClientError as error:
            if _code(error) in _NOT_THERE:
                return None
            raise

    def _object(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    @contextmanager
    def _outside(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, Boto3Error, ClientError) as error:
            # upload_file hides what S3 answered behind an error of its own.
            answer = error if isinstance(error, ClientError) else error.__context__
            if isinstance(answer, ClientError):
                raise self._refusal(answer) from error
            raise OutsideError(
                f"the store {self.address} cannot be reached: {error}",
                hint="check the network, --endpoint-url and your AWS credentials",
            ) from error

    def _refusal(self, answer: ClientError) -> OutsideError:
        message = answer.response.get("Error", {}).get("Message") or str(answer)
        return OutsideError(
            f"the store {self.address} answered {_code(answer)}: {message}",
            hint="check the bucket's name and the permissions of your credentials",
        )


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
