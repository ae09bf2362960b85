"""Finds what nobody needs any more below a model store and in TorchServe's temp."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from model_servers.adapters import disk
from model_servers.adapters.frontends import serving_from, using_temp
from model_servers.adapters.mar_entries import packed_archives
from model_servers.adapters.releases import read_record
from model_servers.adapters.tree_files import HOME
from model_servers.core.entries import Layout, ref_of
from model_servers.core.names import Ref
from model_servers.core.pruning import RESUMABLE_S, Kind, Prunable
from model_servers.errors import ModelServersError

_SETTLED_S = 3600.0
"""What is younger in TorchServe's temp may belong to a registration at work."""


def _sha256(path: Path) -> str:
    """Give the digest of the tree that a file or folder of ours belongs to.

    >>> _sha256(Path("work/abc-012")), _sha256(Path("trees/abc.json"))
    ('abc', 'abc')
    """
    return path.name.removesuffix(".json").partition("-")[0]


def _ref_in(record: Path) -> Ref:
    with disk.failures("the model store"):
        return read_record(record.read_bytes(), shown_as=str(record)).ref


def _stem(path: Path) -> str:
    return path.stem


@dataclass(frozen=True, kw_only=True)
class _Made:
    """One entry of the model store that is ours."""

    ref: Ref
    layout: Layout
    path: Path
    sha256: str
    """Of its tree."""

    requirements: frozenset[str]
    """The folders of packages that it needs."""


class LocalLeftovers:
    """What may go from one host. Nobody else may be at work on the model store."""

    def __init__(
        self, root: Path, *, layout: Layout, temp: Path | None, now_s: float
    ) -> None:
        """Take the model store, its layout, TorchServe's temp if that is known, now."""
        self._root = root
        self._home = root / HOME
        self._layout = layout
        self._temp = temp
        self._now_s = now_s

    def installed(self) -> dict[Ref, float]:
        """Say when each version came to this host, in seconds since 1970."""
        came_s: dict[Ref, float] = {}
        for one in self._made():
            at_s = one.path.lstat().st_mtime
            came_s[one.ref] = min(at_s, came_s.get(one.ref, at_s))
        return came_s

    def versions(self, refs: Collection[Ref]) -> Iterator[Prunable]:
        """Yield versions with what their going makes free."""
        made = self._made()
        for ref in refs:
            mine = [one for one in made if one.ref == ref]
            sha256 = mine[0].sha256
            archives = (one.path for one in mine if one.layout is Layout.MAR)
            works = (self._home / "work").glob(f"{sha256}*")
            yield Prunable(
                kind=Kind.VERSION,
                what=str(ref),
                size_bytes=_freed_bytes(
                    self._home / "trees" / sha256, *works, *archives
                ),
                ref=ref,
            )

    def doubles(self, used: Collection[str]) -> list[Prunable]:
        """Give what a change of the layout has left, but entries in *used*."""
        made = self._made()
        laid_out = {one.ref for one in made if one.layout is self._layout}
        return [
            Prunable(
                kind=Kind.ENTRY,
                what=str(one.path),
                size_bytes=0 if one.path.is_symlink() else _freed_bytes(one.path),
            )
            for one in made
            if one.layout is not self._layout
            and one.ref in laid_out
            and one.path.name not in used
        ]

    def unnamed(self) -> dict[str, Ref]:
        """Say of which version the trees are that none has yet, or any more.

        A tree whose record is damaged is of none.
        """
        known = {one.sha256 for one in self._made()}
        found: dict[str, Ref] = {}
        for record in sorted((self._home / "trees").glob("*.json")):
            if record.stem not in known:
                with suppress(ModelServersError):
                    found[record.stem] = _ref_in(record)
        return found

    def orphans(
        self,
        gone: Collection[Ref],
        doubles: Collection[Prunable],
        *,
        awaited: Collection[str],
    ) -> Iterator[Prunable]:
        """Yield what belongs to no version, once *gone* and *doubles* have gone."""
        made = self._made()
        going = {one.what for one in doubles}
        staying = [one for one in made if str(one.path) not in going]
        linked = [one for one in staying if one.layout is Layout.DIR]
        yield from self._unknown("trees", {*awaited, *(one.sha256 for one in made)})
        yield from self._unknown("work", {one.sha256 for one in linked})
        archived = (one.ref.entry for one in staying if one.layout is Layout.MAR)
        yield from self._unknown("archives", {*archived}, name=_stem)
        for path in self._root.glob(".*.partial"):
            yield from self._partial(path)
        kept = (one.requirements for one in staying if one.ref not in gone)
        yield from self._requirements({name for names in kept for name in names})
        yield from self._in_temp()

    def remove(self, one: Prunable) -> None:
        """Take an orphan off the disk; done if it is gone. Links are not followed."""
        with disk.failures("the model store"):
            path = Path(one.what)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _made(self) -> list[_Made]:
        return [*self._links(), *self._archives()]

    def _links(self) -> Iterator[_Made]:
        for path in _children(self._root):
            ref = ref_of(path.name) if path.is_symlink() else None
            if ref is None or path.readlink().parent != Path(HOME, "work"):
                continue
            sha256 = _sha256(path.readlink())
            packages = (
                package.readlink().parent.name
                for work in (self._home / "work").glob(f"{sha256}*")
                for package in _children(work)
                if package.is_symlink()
            )
            yield _Made(
                ref=ref,
                layout=Layout.DIR,
                path=path,
                sha256=sha256,
                requirements=frozenset(packages),
            )

    def _archives(self) -> Iterator[_Made]:
        for ref, packed in packed_archives(self._root).items():
            yield _Made(
                ref=ref,
                layout=Layout.MAR,
                path=self._root / Layout.MAR.entry(ref),
                sha256=packed.sha256,
                requirements=frozenset({packed.requirements} - {""}),
            )

    def _unknown(
        self,
        folder: str,
        known: Collection[str],
        *,
        name: Callable[[Path], str] = _sha256,
    ) -> Iterator[Prunable]:
        """Yield what is in one of our folders and has no name of *known*."""
        for path in _children(self._home / folder):
            if path.name.startswith("."):
                yield from self._partial(path)
            elif name(path) not in known:
                yield _prunable(Kind.TREE, path)

    def _partial(self, path: Path) -> Iterator[Prunable]:
        if self._now_s - _latest_s(path) > RESUMABLE_S:
            yield _prunable(Kind.PARTIAL, path)

    def _requirements(self, used: Collection[str]) -> Iterator[Prunable]:
        """Yield installed requirements that no version uses."""
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
