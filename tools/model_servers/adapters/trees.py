"""The unpacked releases of a host: hashed again, and mended where they have rotted.

A file is never mended in place: a worker may have it mapped, and other trees may have
it under another name.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from model_servers.adapters import delta, disk
from model_servers.adapters.hashing import CHUNK_BYTES
from model_servers.adapters.mar_entries import MarEntries
from model_servers.adapters.releases import read_release
from model_servers.adapters.requirements import Requirements
from model_servers.adapters.segment_digests import SegmentDigests
from model_servers.adapters.tree_files import HOME
from model_servers.core.delta import Place, Wanted, places_in_tree
from model_servers.core.entries import Layout, ref_of
from model_servers.core.layout import MANIFEST
from model_servers.core.names import Ref
from model_servers.core.release import Release, ReleasedMember
from model_servers.errors import ModelServersError
from model_servers.interruption import Threads
from model_servers.ports import Chunks, OnBytes

_THREADS = 4
_SHARED_FROM_BYTES = 2**20
"""What a model runs in shares files of this size with its tree; others are its own."""


class LocalTrees:
    """The trees below one model store."""

    def __init__(self, root: Path, *, python: str) -> None:
        """Take the model store, and the Python of the workers."""
        self._root = root
        self._home = root / HOME
        self._trees = self._home / "trees"
        self._archives = MarEntries(
            root, Requirements(self._home / "requirements", python)
        )

    def releases(self) -> list[Release]:
        """Give the release that each tree is, of those whose record can be read."""
        found = (_record(tree) for tree in self._folders())
        known = [release for release in found if release is not None]
        return sorted(known, key=lambda release: release.ref)

    def unrecorded(self) -> list[tuple[str, Ref | None]]:
        """Give the digests of trees whose record is damaged or gone.

        With the version that is served from it, if there is one.
        """
        links = {
            entry.readlink().name.partition("-")[0]: ref_of(entry.name)
            for entry in self._root.iterdir()
            if entry.is_symlink()
        }
        links |= {packed.sha256: ref for ref, packed in self._archives.all().items()}
        return [
            (tree.name, links.get(tree.name))
            for tree in self._folders()
            if _record(tree) is None
        ]

    def record(self, release: Release) -> None:
        """Write the record of a tree anew."""
        with disk.failures("the model store"):
            record = self._tree(release).with_suffix(".json")
            partial = record.with_name(f".partial-{record.name}")
            partial.write_bytes(release.to_bytes())
            disk.sync(partial)
            partial.replace(record)
            disk.sync(record.parent)

    def rotten(self, release: Release, *, on_bytes: OnBytes) -> list[str]:
        """Hash a tree and what is made of it; name what is wrong.

        That is members, and archives of the model store as a whole.
        """
        members = release.archive.members
        with Threads(_THREADS) as pool:
            are_right = pool.map(
                lambda member: all(
                    _is_right(file, member, on_bytes)
                    for file in self._files(release, member.path)
                ),
                members,
            )
            pairs = list(zip(members, are_right, strict=True))
        return [
            *(member.path for member, is_right in pairs if not is_right),
            *(
                Layout.MAR.entry(ref)
                for ref in self._archives.of_tree(release.archive.sha256)
                if not self._archives.is_right(ref, on_bytes=on_bytes)
            ),
        ]

    def mend(
        self,
        release: Release,
        rotten: Collection[str],
        *,
        elsewhere: Iterable[tuple[Release, Collection[str]]],
        chunks: Chunks,
        on_bytes: OnBytes,
    ) -> None:
        """Put what is rotten right: good segments of members kept, the others brought.

        Interrupted, every file is the old one or a right one. Its golden requests
        count as never answered, so that the next sync asks them.

        Args:
            release: the tree.
            rotten: its members that are wrong, and archives that are made of it.
            elsewhere: other trees of this host, with what is wrong in them.
            chunks: reads the released archive: offset and length.
            on_bytes: told the bytes that had to be fetched.

        Raises:
            OutsideError: wrong bytes came, or the source or the disk failed.
        """
        tree = self._tree(release)
        partial = tree.with_name(f".mending-{tree.name}")
        members = [one for one in release.archive.members if one.path in rotten]
        local = {**places_in_tree(release, str(tree)), **self._places(elsewhere)}
        with disk.failures("the model store"):
            (self._home / "answered" / tree.name).unlink(missing_ok=True)
            with delta.brought(
                [
                    Wanted(
                        part,
                        str(partial / member.path),
                        member.offset,
                        repr(member.path),
                    )
                    for member in members
                    for part in member.segments
                ],
                delta.Files(lengths={str(partial / m.path): m.length for m in members}),
                local=local,
                journal=partial.with_name(f"{partial.name}.journal"),
                chunks=chunks,
                on_bytes=on_bytes,
            ):
                for member in members:
                    _take_place(partial / member.path, tree / member.path)
                    self._share(release, member.path, member.length)
            # What was mended is newer than the record, and is not shared until then.
            self.record(release)
            shutil.rmtree(partial, ignore_errors=True)
            for ref, packed in self._archives.all().items():
                if Layout.MAR.entry(ref) in rotten:
                    self._archives.make(ref, tree, packed.overlay)

    def _folders(self) -> list[Path]:
        if not self._trees.is_dir():
            return []
        hidden = (".partial", ".mending")
        return sorted(
            one
            for one in self._trees.iterdir()
            if one.is_dir() and not one.name.startswith(hidden)
        )

    def _tree(self, release: Release) -> Path:
        return self._trees / release.archive.sha256

    def _files(self, release: Release, path: str) -> Iterator[Path]:
        """Yield the files that a member is: of the tree, and of what runs in it."""
        inside = self._tree(release) / path
        yield inside
        for folder in sorted((self._home / "work").glob(f"{release.archive.sha256}*")):
            at_work = folder / path
            are_there = at_work.exists() and inside.exists()
            if _is_own_config(folder, path):
                continue
            if not (are_there and at_work.samefile(inside)):
                yield at_work

    def _share(self, release: Release, path: str, length: int) -> None:
        """Let what runs in a tree have the mended file too."""
        for file in list(self._files(release, path))[1:]:
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.with_name(f".mending-{file.name}")
            fresh.unlink(missing_ok=True)
            _share(self._tree(release) / path, fresh, length)
            fresh.replace(file)

    def _places(
        self, elsewhere: Iterable[tuple[Release, Collection[str]]]
    ) -> Mapping[str, Place]:
        places: dict[str, Place] = {}
        for release, rotten in elsewhere:
            members = tuple(
                one for one in release.archive.members if one.path not in rotten
            )
            good = replace(release, archive=replace(release.archive, members=members))
            places |= places_in_tree(good, str(self._tree(release)))
        return places


def _record(tree: Path) -> Release | None:
    record = tree.with_suffix(".json")
    try:
        found = read_release(record.read_bytes(), shown_as=str(record))
    except (OSError, ModelServersError):
        return None
    return found if found.archive.sha256 == tree.name else None


def _is_right(file: Path, member: ReleasedMember, on_bytes: OnBytes) -> bool:
    released = tuple(part.moved(-member.offset) for part in member.segments)
    digests = SegmentDigests([part.runs for part in released])
    size_bytes = 0
    try:
        with file.open("rb") as stream:
            while data := stream.read(CHUNK_BYTES):
                digests.update(data)
                size_bytes += len(data)
                on_bytes(len(data))
    except OSError:  # gone, or a disk that cannot read it any more
        return False
    return size_bytes == member.length and digests.segments() == released


def _is_own_config(work: Path, path: str) -> bool:
    """Say whether a member is a model config that has settings of this host."""
    if "-" not in work.name:
        return False
    try:
        manifest = json.loads((work / MANIFEST).read_bytes())
        return bool(path == manifest["model"].get("configFile"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return True


def _share(source: Path, target: Path, length: int) -> None:
    """Link a large file; copy a small one, which a model may write into."""
    if length >= _SHARED_FROM_BYTES:
        with suppress(OSError):
            os.link(source, target)
            return
    shutil.copyfile(source, target)


def _take_place(fresh: Path, file: Path) -> None:
    fresh.chmod(0o444)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh.replace(file)
    disk.sync(file.parent)
