"""The registry where a branch began, read out of git into a folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_servers.adapters import git
from model_servers.adapters.checkout import Checkout


@dataclass(frozen=True)
class GitHistory:
    """The merge base of HEAD and another branch."""

    origin: str
    registry: Checkout
    _root: Path
    _base: str

    def changed(self) -> list[str]:
        """List the models that differ from it now, uncommitted changes included."""
        return sorted(self._touched() & set(Checkout(self._root).names()))

    def deleted(self) -> list[str]:
        """List the models that are there no more."""
        was = self._touched() & set(git.directories(self._root, self._base))
        return sorted(was - set(Checkout(self._root).names()))

    def _touched(self) -> set[str]:
        return _touched(self._root, self._base)


def _touched(root: Path, base: str) -> set[str]:
    paths = git.changed_paths(root, base)
    return {path.partition("/")[0] for path in paths if "/" in path}


@contextmanager
def history(root: Path, ref: str, names: Collection[str]) -> Iterator[GitHistory]:
    """Give models at the merge base of HEAD and *ref*.

    The checkout is only read; the copy is gone at the end of the block.

    Args:
        root: of the registry.
        ref: a branch, or any other name of a commit.
        names: of the models; those that changed since then if there is none.

    Raises:
        RequestError: there is no git, no such branch, or no merge base.
    """
    base = git.merge_base(root, ref)
    with tempfile.TemporaryDirectory(prefix="ms-base-") as folder:
        copy = Path(folder) / root.resolve().name
        copy.mkdir()
        git.export(root, base, set(names) or _touched(root, base), target=copy)
        origin = f"at {base[:7]}, the merge base with {ref}"
        yield GitHistory(origin, Checkout(copy), root, base)
