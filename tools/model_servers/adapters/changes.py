"""What git says was changed since a branch began, inside the registry and beside it."""

from __future__ import annotations

from pathlib import Path

from model_servers.adapters import git
from model_servers.adapters.checkout import Checkout
from model_servers.core.work import Work, changed_work


def since(registry: Path, ref: str) -> Work:
    """Give what differs from the merge base of HEAD and *ref*.

    Raises:
        RequestError: there is no git, no such commit, or no merge base.
    """
    base = git.merge_base(registry, ref)
    root = Path(git.root(registry) or registry)
    return changed_work(
        git.changed_paths(root, base),
        registry=registry.resolve().relative_to(root.resolve()).as_posix(),
        now=Checkout(registry).names(),
        before=git.directories(registry, base),
    )
