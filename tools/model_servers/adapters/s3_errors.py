"""What S3 answers, in words, each with the next command to type."""

from __future__ import annotations

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from urllib3.exceptions import HTTPError

from model_servers.errors import OutsideError

ALREADY_THERE = frozenset({"PreconditionFailed", "412"})
NOT_THERE = frozenset({"NoSuchKey", "404", "NotFound"})
RACING = frozenset({"ConditionalRequestConflict", "409"})
DAMAGED = frozenset({"XAmzContentSHA256Mismatch", "BadDigest", "InvalidDigest"})
GONE_UPLOAD = frozenset({"NoSuchUpload"})

_KINDS = (
    (
        {
            "ExpiredToken",
            "ExpiredTokenException",
            "TokenRefreshRequired",
            "RequestExpired",
        },
        "the credentials have expired",
        "log in again (`aws sso login`, or renew the keys), then repeat the command",
    ),
    (
        {"RequestTimeTooSkewed"},
        "the clock of this machine is wrong",
        "set the clock (`timedatectl set-ntp true`), then repeat the command",
    ),
    (
        {"AccessDenied", "403", "Forbidden", "AllAccessDisabled"},
        "the credentials may not do this",
        (
            "`aws sts get-caller-identity` tells who you are; ask the bucket's owner "
            "to let you list, get and put objects, and abort uploads"
        ),
    ),
    (
        {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"},
        "the credentials are wrong",
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    ),
    (
        {"NoSuchBucket"},
        "there is no such bucket",
        "correct --store, or make the bucket: aws s3 mb s3://BUCKET",
    ),
    (
        {
            "SlowDown",
            "503",
            "ServiceUnavailable",
            "Throttling",
            "ThrottlingException",
            "RequestLimitExceeded",
            "TooManyRequests",
            "429",
        },
        "the store is overloaded",
        "repeat the command in a while; it goes on where it stopped",
    ),
    (
        {"PermanentRedirect", "AuthorizationHeaderMalformed", "301", "IllegalLocation"},
        "the bucket is in another region",
        "set AWS_REGION to the bucket's region, then repeat the command",
    ),
)
"""Codes of S3's answers, what they mean, and what to do."""

_OTHER = "`ms store doctor` tells what this store can do"
_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

BROKEN_OFF = (BotoCoreError, HTTPError)
"""What reading a body raises; botocore lets errors of TLS through as they are."""

Errors = (*BROKEN_OFF, Boto3Error, ClientError)
"""Everything that boto3 raises because of the other side."""


def code(error: ClientError) -> str:
    """Give S3's code for what went wrong."""
    return str(error.response.get("Error", {}).get("Code", ""))


def explained(address: str, error: Exception) -> OutsideError:
    """Turn one of :data:`Errors` into one of ours."""
    if isinstance(error, ClientError):
        return _refusal(address, error)
    if isinstance(error, _NO_CREDENTIALS):
        return OutsideError(
            f"the store {address} cannot be reached without AWS credentials: {error}",
            hint="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    return OutsideError(
        f"the store {address} cannot be reached: {error}",
        hint="check the network and --endpoint-url, then repeat the command",
    )


def _refusal(address: str, error: ClientError) -> OutsideError:
    found = code(error)
    told = error.response.get("Error", {}).get("Message") or str(error)
    for codes, meaning, hint in _KINDS:
        if found in codes:
            return OutsideError(
                f"the store {address} answered {found}: {meaning} ({told})", hint=hint
            )
    return OutsideError(f"the store {address} answered {found}: {told}", hint=_OTHER)
