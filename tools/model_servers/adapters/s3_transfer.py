"""Moves large objects into S3: in parts, several at a time, copied where possible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from model_servers.adapters import s3_errors
from model_servers.core.objects import Copied, Moved, Part, Sent
from model_servers.interruption import Threads
from model_servers.ports import Content, OnBytes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PARALLEL_PARTS = 4
"""As fast as any number on loopback; each holds its part in memory."""

_TRIES = 3


class CannotCopyError(Exception):
    """The store does not copy a range of one object into another."""


@dataclass(frozen=True)
class Transfer:
    """Moves objects into one bucket."""

    s3: S3Client
    bucket: str
    prefix: str

    def put(self, key: str, content: Content, *, replace: bool) -> None:
        """Send a small object in one request, unless an object is there already."""
        condition: dict[str, Any] = {} if replace else {"IfNoneMatch": "*"}
        body = content.read(0, content.size_bytes)
        try:
            self.s3.put_object(**self._object(key), Body=body, **condition)
        except ClientError as error:
            # A rival was first: the key names the content, so it is the same.
            if s3_errors.code(error) not in s3_errors.ALREADY_THERE | s3_errors.RACING:
                raise

    def compose(
        self,
        key: str,
        content: Content,
        parts: Sequence[Part],
        *,
        replace: bool,
        on_bytes: OnBytes,
    ) -> Moved:
        """Make an object of parts; it appears complete or not at all.

        A conflict (409), or an upload that somebody has aborted, makes all parts
        void (S3's documentation of CompleteMultipartUpload), so they move again.

        Raises:
            CannotCopyError: the store refused to copy a range.
        """
        for attempt in range(_TRIES):
            try:
                return self._composed(
                    key, content, parts, replace=replace, on_bytes=on_bytes
                )
            except ClientError as error:
                code = s3_errors.code(error)
                if code in s3_errors.ALREADY_THERE:
                    return Moved()
                void = s3_errors.RACING | s3_errors.GONE_UPLOAD
                if code not in void or attempt == _TRIES - 1:
                    raise
        raise AssertionError  # the last try returns or raises

    def _composed(
        self,
        key: str,
        content: Content,
        parts: Sequence[Part],
        *,
        replace: bool,
        on_bytes: OnBytes,
    ) -> Moved:
        condition: dict[str, Any] = {} if replace else {"IfNoneMatch": "*"}
        with self._multipart(key) as target:
            tags = self._move_all(target, content, parts, on_bytes)
            self.s3.complete_multipart_upload(
                **target,
                MultipartUpload={
                    "Parts": [
                        {"PartNumber": number, "ETag": tag}
                        for number, tag in enumerate(tags, start=1)
                    ]
                },
                **condition,
            )
        return Moved(
            sent_bytes=sum(part.length for part in parts if isinstance(part, Sent)),
            copied_bytes=sum(part.length for part in parts if isinstance(part, Copied)),
        )

    @contextmanager
    def _multipart(self, key: str) -> Iterator[dict[str, Any]]:
        """Give an upload that is aborted if the block fails, whatever the reason."""
        begun = self.s3.create_multipart_upload(**self._object(key))
        target = {**self._object(key), "UploadId": begun["UploadId"]}
        try:
            yield target
        except BaseException:
            with suppress(*s3_errors.Errors):
                self.s3.abort_multipart_upload(**target)
            raise

    def _move_all(
        self,
        target: dict[str, Any],
        content: Content,
        parts: Sequence[Part],
        on_bytes: OnBytes,
    ) -> list[str]:
        with Threads(PARALLEL_PARTS) as pool:
            moving = {
                pool.submit(
                    self._move, {**target, "PartNumber": number}, content, part
                ): (number, part)
                for number, part in enumerate(parts, start=1)
            }
            tags: dict[int, str] = {}
            for done in as_completed(moving):
                number, part = moving[done]
                tags[number] = done.result()
                on_bytes(part.length)
        return [tags[number] for number in sorted(tags)]

    def _move(self, target: dict[str, Any], content: Content, part: Part) -> str:
        match part:
            case Sent(offset, length):
                body = content.read(offset, length)
                return self.s3.upload_part(**target, Body=body)["ETag"]
            case Copied(key, offset, length):
                try:
                    copied = self.s3.upload_part_copy(
                        **target,
                        CopySource={"Bucket": self.bucket, "Key": self.prefix + key},
                        CopySourceRange=f"bytes={offset}-{offset + length - 1}",
                    )
                except ClientError as error:
                    if s3_errors.code(error) in s3_errors.GONE_UPLOAD:
                        raise
                    raise CannotCopyError(str(error)) from error
                tag = copied.get("CopyPartResult", {}).get("ETag")
                if not tag:
                    raise CannotCopyError("it did not say what it copied")
                return tag

    def _object(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": self.prefix + key}
