"""What git says about a checkout."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from model_servers.errors import OutsideError, RequestError

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PRIVATE_ADDRESS = re.compile(r"(?:\d+\+)?([A-Za-z0-9-]+)@users\.noreply\.github\.com")


def commit(directory: Path) -> str | None:
    """Give the commit that *directory* is at.

    None outside a git checkout, and where files below *directory* differ from the
    commit: a release must not name a commit it cannot be rebuilt from.
    """
    changes = _git(directory, "status", "--porcelain", "--", ".")
    if changes is None or changes:
        return None
    return _git(directory, "rev-parse", "HEAD")


def version() -> str | None:
    """Give git's version; None if there is no git."""
    told = _git(Path(), "--version")
    return told.removeprefix("git version ") if told else None


def root(directory: Path) -> str | None:
    """Give the root of the checkout that *directory* is in; None outside one."""
    return _git(directory, "rev-parse", "--show-toplevel")


def maintainer(directory: Path) -> str | None:
    """Say who works in *directory*: a GitHub account, a mail address, or None.

    Source: GitHub's private addresses name the account
        (https://docs.github.com/en/account-and-profile/reference/email-addresses-reference).
    """
    account = _git(directory, "config", "github.user")
    email = _git(directory, "config", "user.email")
    private = _PRIVATE_ADDRESS.fullmatch(email or "")
    if account or private:
        return f"@{account or private.group(1)}"  # type: ignore[union-attr]
    return email or None


def merge_base(directory: Path, ref: str) -> str:
    """Give the commit where HEAD and *ref* parted.

    Raises:
        RequestError: this is no checkout, *ref* is not known, or they share nothing.
    """
    if root(directory) is None:
        raise RequestError(
            f"{directory} is in no git checkout, so there is no {ref} to compare with",
            hint="run ms in a clone, or leave out --base",
        )
    commit = _git(directory, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if commit is None:
        raise RequestError(
            f"git knows no commit {ref!r}", hint="git fetch, or correct --base"
        )
    base = _git(directory, "merge-base", "HEAD", commit)
    if not base:
        raise RequestError(
            f"HEAD and {ref} have no commit in common, as in a shallow clone",
            hint="git fetch --unshallow",
        )
    return base


def knows(directory: Path, commit: str) -> bool:
    """Say whether the checkout that *directory* is in has a commit."""
    return _git(directory, "cat-file", "-e", f"{commit}^{{commit}}") is not None


def commit_dates(directory: Path, commits: Collection[str]) -> dict[str, str]:
    """Give the dates of commits in ISO 8601 and UTC, of those that are known here."""
    asked = [one for one in sorted(commits) if _COMMIT.fullmatch(one)]
    if not asked:
        return {}
    told = _git(
        directory,
        *("-c", "log.showSignature=false", "log", "--no-walk=unsorted"),
        *("--ignore-missing", "--date=format-local:%Y-%m-%dT%H:%M:%SZ"),
        *("--format=%H %cd", "--stdin"),
        given="".join(f"{one}\n" for one in asked),
    )
    lines = (line.partition(" ") for line in (told or "").splitlines())
    return {commit: date for commit, _, date in lines}


def directories(directory: Path, commit: str) -> list[str]:
    """List what *directory* had in it in a commit; nothing if it was not there."""
    listed = _git(directory, "ls-tree", "-d", "-z", "--name-only", commit) or ""
    return [name for name in listed.split("\0") if name]


def changed_paths(directory: Path, commit: str) -> list[str]:
    """List the files below *directory* that are not as in *commit*: new ones too."""
    differing = ("diff", "--name-only", "--no-renames", "--relative", "-z", commit)
    untracked = ("ls-files", "--others", "--exclude-standard", "-z")
    listed = [
        _git(directory, *command, "--", ".") for command in (differing, untracked)
    ]
    return [path for some in listed for path in (some or "").split("\0") if path]


def export(
    directory: Path, commit: str, names: Collection[str], *, target: Path
) -> None:
    """Write what some directories in *directory* were in a commit into *target*.

    The checkout is not used. Links out of it are left out.
    """
    there = [name for name in directories(directory, commit) if name in names]
    if not there:
        return
    command = ["git", "-C", str(directory), "archive", "--format=tar", commit]
    with (
        subprocess.Popen([*command, "--", *there], stdout=subprocess.PIPE) as running,
        tarfile.open(fileobj=running.stdout, mode="r|") as archive,
    ):
        for member in archive:
            with suppress(tarfile.FilterError):
                archive.extract(member, target, filter="data")
        # tarfile stops at the end of the archive; git is still writing its padding,
        # and would fail if nobody read that.
        if running.stdout is not None:
            running.stdout.read()
    if running.returncode:
        raise OutsideError(
            f"git cannot read the registry at {commit[:7]}", hint="git fsck"
        )


def _git(directory: Path, *arguments: str, given: str = "") -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            check=True,
            capture_output=True,
            text=True,
            input=given,
            env={**os.environ, "TZ": "UTC"},
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
