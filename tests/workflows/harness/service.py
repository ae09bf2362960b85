"""What GitHub knows and keeps: the repository, its settings, what a token may do."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workflows.harness.actions import Action

SHELL_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A deployment environment."""

    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    branches: tuple[str, ...] = ("refs/heads/main",)
    """The refs that may use it."""

    is_approved: bool = True
    """Whether its reviewers say yes."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Why a workflow runs."""

    name: str
    sha: str
    ref: str
    payload: Mapping[str, Any]
    is_from_fork: bool = False

    @property
    def inputs(self) -> Mapping[str, Any]:
        """What a person has chosen; empty but for a dispatch."""
        return self.payload.get("inputs") or {}


@dataclass(kw_only=True)
class Service:
    """One repository on GitHub."""

    origin: Path
    """A bare repository."""

    folder: Path
    """Where everything else is kept."""

    actions: Mapping[str, Action]
    """By ``owner/name``; a workflow that uses another one fails."""

    tools: tuple[Path, ...] = ()
    """Folders of programs that the runner's image has."""

    prepare: Callable[[Path], None] = lambda workspace: None
    """Called with every fresh checkout."""

    repository: str = "acme/models"
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    environments: dict[str, Environment] = field(default_factory=dict)
    deployments: list[str] = field(default_factory=list)
    """The environments that were used, in order."""

    deploying: threading.Lock = field(default_factory=threading.Lock)
    """Held while a site is deployed: only one is at a time."""

    def artifacts(self, run_id: str) -> Path:
        """Say where the artifacts of a run are."""
        return self.folder / "artifacts" / run_id

    def file(self, sha: str, path: str) -> str | None:
        """Give a text of a commit; None if there is none."""
        shown = subprocess.run(
            ["git", "-C", str(self.origin), "show", f"{sha}:{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        return shown.stdout if shown.returncode == 0 else None

    def git(self, *arguments: str) -> str:
        """Run git in the repository."""
        return git(self.origin, *arguments)


_PERSON = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


def git(folder: Path, *arguments: str) -> str:
    """Run git as a person who always has the same name."""
    return subprocess.run(
        ["git", "-C", str(folder), *_PERSON, *arguments],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def token(permissions: Mapping[str, str]) -> str:
    """Write a token that says what it may do; the stubs read it."""
    return "ghs_" + "_".join(f"{key}-{level}" for key, level in permissions.items())


def allows(text: str, permission: str, level: str = "write") -> bool:
    """Say whether a token may do something."""
    granted = text.removeprefix("ghs_").split("_")
    wanted = {f"{permission}-write"} | {f"{permission}-{level}"}
    return bool(wanted & set(granted))


def permissions(
    wanted: Mapping[str, str] | None, event: Event, bound: Mapping[str, str] | None
) -> dict[str, str]:
    """Give what a job's token may do.

    Args:
        wanted: by the job, or else the workflow; None if neither says anything.
        event: a pull request from a fork gets nothing that writes.
        bound: what the caller of a called workflow may do.

    Raises:
        PermissionError: a called workflow wants more than its caller has.
    """
    found = dict({"contents": "read"} if wanted is None else wanted)
    for name, level in found.items():
        has = None if bound is None else bound.get(name, "none")
        if has is not None and _LEVELS.index(level) > _LEVELS.index(has):
            raise PermissionError(f"it wants {name}: {level}, and may have {has}")
    if event.is_from_fork:
        found = {
            name: "read"
            for name, level in found.items()
            if level != "none" and name != "id-token"
        }
    return {name: level for name, level in found.items() if level != "none"}


_LEVELS = ("none", "read", "write")
