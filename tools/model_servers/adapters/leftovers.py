"""Finds what nobody needs any more below a model store and in TorchServe's temp."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from stat import S_ISREG

from model_servers.adapters import disk
from model_servers.adapters.frontends import serving_from, using_temp
from model_servers.core.names import Ref
from model_servers.core.pruning import RESUMABLE_S, Kind, Prunable

_SETTLED_S = 3600.0
"""What is younger in TorchServe's temp may belong to a registration at work."""


class LocalLeftovers:
    """What may go from one host. Nobody else may be at work on the model store."""

    def __init__(self, root: Path, *, temp: Path | None, now_s: float) -> None:
        """Take the model store, TorchServe's temp if that is known, and the time."""
        self._root = root
        self._home = root / ".model-servers"
        self._temp = temp
        self._now_s = now_s

    def installed(self) -> dict[Ref, float]:
        """Say when each version came to this host, in seconds since 1970."""
        return {
            ref: entry.lstat().st_mtime
            for entry in self._entries()
            if (ref := _ref(entry.name)) is not None
        }

    def versions(self, refs: Collection[Ref]) -> Iterator[Prunable]:
        """Yield versions with what their going makes free."""
        for ref in refs:
            sha256 = _sha256((self._root / ref.entry).readlink())
            works = (self._home / "work").glob(f"{sha256}*")
            yield Prunable(
                kind=Kind.VERSION,
                what=str(ref),
                size_bytes=_freed_bytes(self._home / "trees" / sha256, *works),
                ref=ref,
            )

    def orphans(self, gone: Collection[Ref]) -> Iterator[Prunable]:
        """Yield what belongs to no version, once those in *gone* have gone."""
        linked = {
            entry.name: _sha256(entry.readlink())
            for entry in self._entries()
            if entry.readlink().parent.name == "work"
        }
        going = {ref.entry for ref in gone}
        kept = {sha256 for name, sha256 in linked.items() if name not in going}
        known = {*linked.values()}
        for kind in ("trees", "work"):
            for path in _children(self._home / kind):
                if path.name.startswith("."):
                    yield from self._partial(path)
                elif _sha256(path) not in known:
                    yield _prunable(Kind.TREE, path)
        yield from self._requirements(kept)
        yield from self._in_temp()

    def remove(self, one: Prunable) -> None:
        """Take an orphan off the disk; done if it is gone. Links are not followed."""
        with disk.failures("the model store"):
            path = Path(one.what)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _entries(self) -> Iterator[Path]:
        for entry in _children(self._root):
            if entry.is_symlink() and not entry.name.startswith("."):
                yield entry

    def _partial(self, path: Path) -> Iterator[Prunable]:
        if self._now_s - _latest_s(path) > RESUMABLE_S:
            yield _prunable(Kind.PARTIAL, path)

    def _requirements(self, kept: Collection[str]) -> Iterator[Prunable]:
        """Yield installed requirements that nothing in *kept* links to."""
        used = {
            package.readlink().parent.name
            for sha256 in kept
            for work in (self._home / "work").glob(f"{sha256}*")
            for package in _children(work)
            if package.is_symlink()
        }
        for path in _children(self._home / "requirements"):
            if path.name.startswith("."):
                yield from self._partial(path)
            elif path.name.removesuffix(".log") not in used:
                yield _prunable(Kind.REQUIREMENTS, path)

    def _in_temp(self) -> Iterator[Prunable]:
        """Yield what a TorchServe that was killed, or refused an archive, has left.

        TorchServe unpacks every archive anew when it starts; so what is older than
        the running one is nobody's. Without a running one, all of it is.
        """
        running = serving_from(self._root)
        temp = Path(running.temp) if running else self._temp
        if temp is None or (running is None and using_temp(temp)):
            return
        until_s = running.started_s if running else self._now_s - _SETTLED_S
        for path in [*_children(temp / "models"), *temp.glob("models*.download")]:
            if path.lstat().st_mtime < until_s:
                yield _prunable(Kind.TEMP, path)


def _prunable(kind: Kind, path: Path) -> Prunable:
    return Prunable(kind=kind, what=str(path), size_bytes=_freed_bytes(path))


def _freed_bytes(*paths: Path) -> int:
    """Count the bytes that are free once *paths* have gone.

    A file that has another name elsewhere stays on the disk.
    """
    names: Counter[tuple[int, int]] = Counter()
    sizes: dict[tuple[int, int], int] = {}
    for path in paths:
        for file in (path, *path.rglob("*")) if path.exists() else ():
            status = file.lstat()
            inode = (status.st_ino, status.st_nlink)
            names[inode] += 1
            sizes[inode] = status.st_size if S_ISREG(status.st_mode) else 0
    return sum(size for inode, size in sizes.items() if names[inode] == inode[1])


def _latest_s(path: Path) -> float:
    """Say when something in a folder was last changed."""
    return max(one.lstat().st_mtime for one in (path, *path.rglob("*")))


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _sha256(path: Path) -> str:
    """Give the digest of the tree that a file or folder of ours belongs to.

    >>> _sha256(Path("work/abc-012")), _sha256(Path("trees/abc.json"))
    ('abc', 'abc')
    """
    return path.name.removesuffix(".json").partition("-")[0]


def _ref(entry: str) -> Ref | None:
    name, _, version = entry.rpartition("-")
    try:
        return Ref.parse(f"{name}@{version}")
    except ValueError:
        return None
