"""The policies for AWS allow what ms does, and nothing that would undo a release."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from workflows.test_policy import JOBS, MAY_HAVE_A_CLOUD_ROLE

DOCS = Path(__file__).parents[2] / "docs"
ISSUER = "token.actions.githubusercontent.com"
ROLES = ("read", "publish", "channels")
ENVIRONMENTS = {
    "read": {"store-read", "production"},
    "publish": {"publish"},
    "channels": {"channels"},
}
RELEASE = "models/cat/1.0.0/release.json"
ARCHIVE = "models/cat/1.0.0/cat-1.0.0-0123456789abcdef.mar"
CHANNEL = "channels/stable.json"


def policy(name: str) -> list[dict[str, Any]]:
    return json.loads((DOCS / "aws" / f"{name}.json").read_text())["Statement"]


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else value


def matches(statement: dict[str, Any], action: str, key: str, **seen: str) -> bool:
    """Say whether a statement is about a request, as IAM would.

    Args:
        statement: of a policy.
        action: such as ``s3:PutObject``.
        key: of the object; the bucket itself if empty.
        seen: condition keys of the request, with ``_`` for ``-``.
    """
    arn = f"arn:aws:s3:::BUCKET/PREFIX/{key}" if key else "arn:aws:s3:::BUCKET"
    conditions = statement.get("Condition", {})
    known = {"ObjectCreationOperation": "true", "SecureTransport": "true", **seen}

    def value(name: str) -> str | None:
        return known.get(name.partition(":")[2].replace("-", "_"))

    holds = {
        "Null": lambda name, wanted: (value(name) is None) == (wanted == "true"),
        "Bool": lambda name, wanted: value(name) == wanted,
        "ArnNotEquals": lambda name, wanted: value(name) != wanted,
    }
    return (
        any(fnmatchcase(action, one) for one in listed(statement["Action"]))
        and any(fnmatchcase(arn, one) for one in listed(statement["Resource"]))
        and all(
            holds[operator](name, wanted)
            for operator, keys in conditions.items()
            for name, wanted in keys.items()
        )
    )


def allows(role: str, action: str, key: str = "", **seen: str) -> bool:
    if any(matches(one, action, key, **seen) for one in policy("bucket-policy")):
        return False
    return any(
        matches(one, action, key, **seen) for one in policy(f"permissions-{role}")
    )


@pytest.mark.parametrize("role", ROLES)
def test_every_role_can_read_and_find_out_that_something_is_not_there(role: str):
    assert allows(role, "s3:GetObject", RELEASE)
    assert allows(role, "s3:ListBucket")


def test_a_release_can_be_made():
    for key in (RELEASE, ARCHIVE, "checkpoints/sha256/ab", "index.json"):
        assert allows("publish", "s3:PutObject", key, if_none_match="*")
    part = {"ObjectCreationOperation": "false"}
    assert allows("publish", "s3:PutObject", ARCHIVE, **part)
    assert allows("publish", "s3:AbortMultipartUpload", ARCHIVE)
    assert allows("publish", "s3:ListBucketMultipartUploads")
    assert allows("publish", "s3:PutObject", "index.json", if_match="etag")


@pytest.mark.parametrize("key", [RELEASE, ARCHIVE, "checkpoints/sha256/ab"])
def test_what_is_released_cannot_be_replaced_by_our_own_pipeline(key: str):
    assert not allows("publish", "s3:PutObject", key)
    assert not allows("publish", "s3:PutObject", key, if_match="etag")
    assert not allows("channels", "s3:PutObject", key, if_none_match="*")


def test_a_channel_moves_only_by_comparing_and_only_by_its_own_role():
    assert allows("channels", "s3:PutObject", CHANNEL, if_none_match="*")
    assert allows("channels", "s3:PutObject", CHANNEL, if_match="etag")
    assert not allows("channels", "s3:PutObject", CHANNEL)
    assert not allows("publish", "s3:PutObject", CHANNEL, if_match="etag")
    assert not allows("read", "s3:PutObject", CHANNEL, if_match="etag")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "action", ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutBucketPolicy"]
)
def test_no_role_can_delete_or_change_the_rules(role: str, action: str):
    assert not allows(role, action, RELEASE)
    assert not allows(role, action)


def test_nothing_goes_over_a_plain_connection():
    assert not allows("read", "s3:GetObject", RELEASE, SecureTransport="false")


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("form", ["", "-old-sub"])
def test_a_role_trusts_certain_jobs_of_one_repository_and_nobody_else(role, form):
    (statement,) = policy(f"trust-{role}{form}")

    assert set(statement["Condition"]) == {"StringEquals"}
    wanted = statement["Condition"]["StringEquals"]
    assert set(wanted) == {
        f"{ISSUER}:{claim}"
        for claim in ("aud", "sub", "repository_id", "ref", "job_workflow_ref")
    }
    assert "*" not in json.dumps(wanted)
    subjects = listed(wanted[f"{ISSUER}:sub"])
    assert {one.rpartition(":")[2] for one in subjects} == ENVIRONMENTS[role]
    has_numbers = ["@OWNER_ID/" in one for one in subjects]
    assert has_numbers == [not form] * len(subjects)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_trusts_the_workflows_that_take_it(role: str):
    (statement,) = policy(f"trust-{role}")
    trusted = listed(
        statement["Condition"]["StringEquals"][f"{ISSUER}:job_workflow_ref"]
    )

    names = {re.search(r"workflows/(.*)@refs/heads/main", one)[1] for one in trusted}

    assert names == {
        name
        for (name, _), environment in MAY_HAVE_A_CLOUD_ROLE.items()
        if environment in ENVIRONMENTS[role]
    }


def test_the_guide_tells_of_every_environment_and_variable():
    guide = (DOCS / "setting-up-aws.md").read_text()
    environments = {job.environment for _, job in JOBS if job.environment}
    text = "".join(
        path.read_text() for path in (DOCS.parent / ".github/workflows").glob("*.yml")
    )

    for name in environments | set(re.findall(r"vars\.(\w+)", text)):
        assert f"`{name}`" in guide, name


def test_every_file_for_aws_is_in_the_guide():
    guide = (DOCS / "setting-up-aws.md").read_text()

    for path in (DOCS / "aws").iterdir():
        name = re.sub(r"-(read|publish|channels)\b", "-$role", path.name)
        assert {path.name, name, name.replace("$role", "*")} & set(
            re.findall(r"[\w$*-]+\.json", guide)
        ), path.name
