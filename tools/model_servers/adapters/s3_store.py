"""A store in S3, or in a server that speaks its API, through boto3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from model_servers.adapters import s3_errors, s3_reading
from model_servers.adapters.read_back import differs
from model_servers.adapters.s3_errors import ALREADY_THERE, NOT_THERE, RACING
from model_servers.adapters.s3_transfer import CannotCopyError, Transfer
from model_servers.core.objects import Leftover, Movable, Moved, Part, Sent, Stored
from model_servers.core.reuse import whole_file
from model_servers.errors import OutsideError
from model_servers.ports import Content, OnBytes

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_RACES = 8
_ABANDONED_AFTER = timedelta(days=1)
"""Nobody uploads one archive for so long."""

_BEFORE_PUT = "before-send.s3.PutObject"
_AGAIN = "repeat the command; it goes on where it stopped"


class S3Store:
    """Keys are object keys below ``s3://bucket/prefix``."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        endpoint_url: str | None = None,
        read_timeout_s: float = 60,
    ) -> None:
        """Connect with the standard credential chain; nothing is sent yet.

        Region and profile come from the chain too. A server at *endpoint_url* is
        addressed with the bucket in the path, unless the AWS configuration says
        ``addressing_style = virtual``.
        """
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.address = f"s3://{bucket}/{self._prefix}".rstrip("/")
        self._tag_form = '"{}"'
        with self._outside():
            self._s3: S3Client = boto3.client(
                "s3",
                endpoint_url=endpoint_url,
                config=Config(
                    max_pool_connections=32,
                    retries={"mode": "standard", "max_attempts": 5},
                    connect_timeout=5,
                    read_timeout=read_timeout_s,
                    tcp_keepalive=True,
                    # Ranges carry no checksum; every byte is hashed by us.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    # The server refuses a body that is not the one we signed.
                    s3={"payload_signing_enabled": True},
                ),
            )
        self._transfer = Transfer(self._s3, bucket, self._prefix)

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield every key that starts with *prefix*, sorted."""
        pages = self._s3.get_paginator("list_objects_v2")
        with self._outside():
            for page in pages.paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            ):
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(self._prefix)

    def stat(self, key: str) -> Stored | None:
        """Say how large an object is; None if there is none."""
        with self._outside():
            try:
                found = self._s3.head_object(**self._object(key))
            except ClientError as error:
                if s3_errors.code(error) in NOT_THERE:
                    return None
                raise
        return Stored(found["ContentLength"], _token(found["ETag"]))

    def read(self, key: str) -> bytes | None:
        """Give a small object; None if there is none."""
        found = self.read_movable(key)
        return None if found is None else found.body

    def read_movable(self, key: str) -> Movable | None:
        """Give a small object with the token that a swap wants."""
        with self._outside():
            try:
                body, answer = s3_reading.whole(self._s3, self._object(key))
            except ClientError as error:
                if s3_errors.code(error) in NOT_THERE:
                    return None
                raise
        return Movable(body, _token(answer["ETag"]))

    def read_range(
        self, key: str, offset: int, length: int, *, token: str | None = None
    ) -> bytes:
        """Give exactly *length* bytes of an object, like ``chunks``."""
        return b"".join(self.chunks(key, offset, length, token=token))

    def chunks(
        self, key: str, offset: int, length: int, *, token: str | None = None
    ) -> Iterator[bytes]:
        """Yield exactly *length* bytes of an object as they arrive."""
        found = 0
        with self._outside():
            try:
                for chunk in s3_reading.ranged(
                    self._s3, self._object(key), offset, length, token
                ):
                    found += len(chunk)
                    yield chunk
            except ClientError as error:
                if s3_errors.code(error) in ALREADY_THERE:
                    raise self._changed(key) from error
                raise
        if found != length:
            raise OutsideError(
                f"{self.address}/{key} gave {found} of the {length} bytes at {offset}",
                hint=_AGAIN,
            )

    def create(self, key: str, body: bytes) -> bool:
        """Write a small object if there is none, and say whether it did.

        One conditional PUT. A conflict (409) says that another writer is at it at
        this moment, so the question is asked again.
        """
        with self._outside():
            return self._put(key, body, {"IfNoneMatch": "*"})

    def swap(self, key: str, body: bytes, expected: str | None) -> bool:
        """Replace a small object that is still the expected one.

        Some servers know the ETag only without its quotes, and find that every
        object has changed. If the object is still the expected one after such an
        answer, the other form is tried; whichever works is remembered.
        """
        if expected is None:
            return self.create(key, body)
        forms = sorted(('"{}"', "{}"), key=lambda form: form != self._tag_form)
        for form in forms:
            with self._outside():
                if self._put(key, body, {"IfMatch": form.format(expected)}):
                    self._tag_form = form
                    return True
            found = self.stat(key)
            if found is None or found.token != expected:
                return False
        raise OutsideError(
            f"the store {self.address} does not know the ETag it gave itself, so "
            f"{key} cannot be moved safely",
            hint="use a store with conditional writes; `ms store doctor` checks one",
        )

    def upload(self, key: str, content: Content, *, on_bytes: OnBytes) -> None:
        """Upload a file, unless an object like it is there already."""
        self.compose(key, content, whole_file(content.size_bytes), on_bytes=on_bytes)

    def compose(
        self, key: str, content: Content, parts: Sequence[Part], *, on_bytes: OnBytes
    ) -> Moved:
        """Make an object of parts, unless one like *content* is there already.

        A store that does not copy gets the whole file; so does one whose copy is
        not what it should be.
        """
        size_bytes, why = content.size_bytes, ""
        found = self.stat(key)
        is_damaged = found is not None and self._is_not(key, content, parts, found)
        if found is not None and not is_damaged:
            return Moved()
        try:
            moved = self._move(key, content, parts, on_bytes, replace=is_damaged)
            is_damaged = self._is_not(key, content, parts, self.stat(key))
            if is_damaged:
                why = "the copy is not what it should be"
        except CannotCopyError as error:
            moved, why = Moved(), str(error)
        if why and moved.sent_bytes != size_bytes:
            everything = whole_file(size_bytes)
            self._move(key, content, everything, on_bytes, replace=is_damaged)
            is_damaged = self._is_not(key, content, everything, self.stat(key))
            moved = Moved(sent_bytes=size_bytes, why_not_copied=why)
        if is_damaged:
            raise OutsideError(
                f"{self.address}/{key} is not what was uploaded",
                hint="repeat the command; `ms store doctor` checks the store",
            )
        return moved

    @property
    def comparison(self) -> str:
        """Say in which form the server wants its ETag back."""
        form = "with quotes" if '"' in self._tag_form else "without its quotes"
        return f"If-Match with the ETag {form}"

    def takes_damaged(self, key: str, body: bytes) -> bool:
        """Damage a body after it was signed, and say whether the server took it."""

        def damage(request: Any, **_: Any) -> None:
            request.body = bytes(byte ^ 1 for byte in body)

        with self._outside():
            self._s3.meta.events.register_first(_BEFORE_PUT, damage)
            try:
                self._s3.put_object(**self._object(key), Body=body)
            except ClientError as error:
                if s3_errors.code(error) not in s3_errors.DAMAGED:
                    raise
                return False
            finally:
                self._s3.meta.events.unregister(_BEFORE_PUT, damage)
        return True

    def delete(self, key: str) -> None:
        """Remove an object; done if there is none."""
        with self._outside():
            self._s3.delete_object(**self._object(key))

    def leftovers(self) -> list[Leftover]:
        """List the uploads that have begun and not ended."""
        with self._outside():
            answer = self._s3.list_multipart_uploads(
                Bucket=self._bucket, Prefix=self._prefix
            )
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        return [
            Leftover(
                key=one["Key"].removeprefix(self._prefix),
                handle=one["UploadId"],
                # The server's clock on both sides: ours may be wrong.
                is_abandoned=now - one["Initiated"] > _ABANDONED_AFTER,
            )
            for one in answer.get("Uploads", ())
        ]

    def abort(self, leftover: Leftover) -> None:
        """Take away what an upload has left; done if it is gone."""
        with self._outside():
            try:
                self._s3.abort_multipart_upload(
                    **self._object(leftover.key), UploadId=leftover.handle
                )
            except ClientError as error:
                if s3_errors.code(error) not in s3_errors.GONE_UPLOAD:
                    raise

    def _put(self, key: str, body: bytes, condition: dict[str, Any]) -> bool:
        for race in range(_RACES):
            try:
                self._s3.put_object(**self._object(key), Body=body, **condition)
            except ClientError as error:
                code = s3_errors.code(error)
                if code in ALREADY_THERE or (
                    code in NOT_THERE and "IfMatch" in condition
                ):
                    return False
                if code not in RACING or race == _RACES - 1:
                    raise
            else:
                return True
        raise AssertionError  # the last race returns or raises

    def _move(
        self,
        key: str,
        content: Content,
        parts: Sequence[Part],
        on_bytes: OnBytes,
        *,
        replace: bool,
    ) -> Moved:
        with self._outside():
            if len(parts) == 1 and isinstance(parts[0], Sent):
                self._transfer.put(key, content, replace=replace)
                on_bytes(parts[0].length)
                return Moved(sent_bytes=parts[0].length)
            return self._transfer.compose(
                key, content, parts, replace=replace, on_bytes=on_bytes
            )

    def _is_not(
        self, key: str, content: Content, parts: Sequence[Part], found: Stored | None
    ) -> bool:
        """Say whether the object is another than the file, by size and ends."""
        if found is None or found.size_bytes != content.size_bytes:
            return True
        return differs(
            lambda offset, length: self.read_range(
                key, offset, length, token=found.token
            ),
            content,
            parts,
        )

    def _object(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _changed(self, key: str) -> OutsideError:
        return OutsideError(
            f"{self.address}/{key} changed while it was read", hint=_AGAIN
        )

    @contextmanager
    def _outside(self) -> Iterator[None]:
        try:
            yield
        except s3_errors.Errors as error:
            raise s3_errors.explained(self.address, error) from error


def _token(tag: str) -> str:
    return tag.strip('"')
