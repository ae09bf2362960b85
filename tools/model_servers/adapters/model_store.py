"""The model store of a host, and the verified files behind it.

::

    <model_store>/
        <name>-<version>            what TorchServe registers: see work_entries.py,
        <name>-<version>.mar        or mar_entries.py
        .model-servers/
            trees/<sha256>/         an archive unpacked: verified, read-only
            trees/<sha256>.json     its release.json
            requirements/<digest>/  packages that models share
            answered/<sha256>       its golden requests were answered here

TorchServe ignores hidden entries. Everything appears under its name complete, by a
rename.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from model_servers.adapters import (
    copying,
    delta,
    disk,
    released_config,
    tree_files,
)
from model_servers.adapters.entries import why_unusable
from model_servers.adapters.mar_entries import MarEntries
from model_servers.adapters.releases import read_record
from model_servers.adapters.requirements import Requirements
from model_servers.adapters.tree_files import HOME, Entry
from model_servers.adapters.work_entries import WorkEntries
from model_servers.core.delta import Place, Wanted, missing_bytes, places_in_tree
from model_servers.core.entries import Layout, ref_of
from model_servers.core.golden import GoldenCase
from model_servers.core.host import Installed
from model_servers.core.names import Ref
from model_servers.core.overlay import Overlay
from model_servers.core.release import Release, ReleasedMember
from model_servers.core.spec import Serving
from model_servers.errors import ModelServersError, OutsideError, RefusedError
from model_servers.ports import NO_OVERLAY, Chunks, OnBytes

_LOAD_ERROR = "load-error.txt"
"""Where the shared handler says why it could not load a model."""

_PID_BYTES = 10
"""So many that writing over another process needs no room on the disk."""


class _Entries(Protocol):
    """The entries of one layout."""

    layout: Layout

    def find(self, ref: Ref) -> Entry | None:
        """Say what the entry of a version is made of; None if it is not ours."""

    def make(self, ref: Ref, tree: Path, overlay: Overlay) -> None:
        """Make the entry of a version; it is complete, or as it was before."""

    def is_right(self, ref: Ref) -> bool:
        """Say whether TorchServe could load the entry."""

    def remove(self, ref: Ref) -> None:
        """Take the entry away, if it is ours."""

    def running(self, ref: Ref) -> Iterable[Path]:
        """Give the folders in which a version runs, if it does."""


class LocalModelStore:
    """The model store below one folder of this machine."""

    def __init__(self, root: Path, *, python: str, layout: Layout = Layout.DIR) -> None:
        """Take the folder, the Python of the workers, and how versions are laid out."""
        self.layout = layout
        self._root = root
        self._home = root / HOME
        self._trees = self._home / "trees"
        self._requirements = Requirements(self._home / "requirements", python)
        made: list[_Entries] = [
            WorkEntries(root, self._requirements),
            MarEntries(root, self._requirements),
        ]
        self._entries = sorted(made, key=lambda one: one.layout is not layout)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others off this model store until the block ends.

        Raises:
            RefusedError: another one is at work; it names its process.
        """
        with disk.failures("the model store"):
            self._home.mkdir(parents=True, exist_ok=True)
            lock = os.open(
                self._home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
            )
        try:
            self._take(lock)
            yield
        finally:
            os.close(lock)

    def installed(self) -> dict[Ref, Installed]:
        """List the releases that are ready to be registered."""
        with disk.failures("the model store"):
            return dict(self._installed()) if self._root.is_dir() else {}

    def missing_bytes(self, release: Release) -> int:
        """Say how many bytes of *release* no tree on this host has."""
        if (self._trees / release.archive.sha256).is_dir():
            return 0
        here = {
            member.sha256
            for _, other in self._records()
            for member in other.archive.members
        }
        parts = [
            part
            for member in release.archive.members
            if member.sha256 not in here
            for part in member.segments
        ]
        return missing_bytes(parts, self._local_segments())

    def needs_pip(
        self, release: Release, *, read_range: Callable[[int, int], bytes]
    ) -> bool:
        """Say whether this host lacks the packages that *release* requires."""
        tree = self._trees / release.archive.sha256
        model = (
            tree_files.manifest_model(tree)
            if tree.is_dir()
            else released_config.manifest(release, read_range)["model"]
        )
        named = model.get("requirementsFile")
        return any(
            member.path == named and not self._requirements.has(member.sha256)
            for member in release.archive.members
        )

    def release(self, ref: Ref) -> Release | None:
        """Give the document of an installed release; None if it is not installed."""
        if self._find(ref) is None:
            return None
        record = self._tree(ref).with_suffix(".json")
        with disk.failures("the model store"):
            return read_record(record.read_bytes(), shown_as=str(record))

    def room_bytes(self) -> int:
        """Say how many bytes more may come onto its disk."""
        with disk.failures("the model store"):
            return disk.room_bytes(self._root)

    def fetch(self, release: Release, *, chunks: Chunks, on_bytes: OnBytes) -> None:
        """Have the tree of *release*; complete, or not visible."""
        with disk.failures("the model store"):
            tree = self._trees / release.archive.sha256
            if not tree.is_dir():
                self._make_tree(release, tree, chunks, on_bytes)

    def install(
        self,
        release: Release,
        *,
        chunks: Chunks,
        on_bytes: OnBytes,
        overlay: Overlay = NO_OVERLAY,
    ) -> None:
        """Make *release* ready to be registered; complete, or not visible."""
        self.fetch(release, chunks=chunks, on_bytes=on_bytes)
        with disk.failures("the model store"):
            tree = self._trees / release.archive.sha256
            self._entries[0].make(release.ref, tree, overlay)

    def restore(self, ref: Ref) -> None:
        """Lay out anew what runs of an installed release, if it cannot be loaded."""
        if self._entries[0].is_right(ref):
            return
        with disk.failures("the model store"):
            entry = self._entry(ref)
            self._entries[0].make(ref, self._trees / entry.sha256, entry.overlay)
        reason = why_unusable(self._root, ref, self.layout)
        if reason:
            raise OutsideError(
                f"{ref} cannot be loaded: {reason}",
                hint="`ms sync verify` mends what has rotted",
            )

    def forget(self, ref: Ref) -> None:
        """Take an installed release off the disk; its requirements stay."""
        with disk.failures("the model store"):
            entry = self._made(ref)
            if entry is None:
                return
            for entries in self._entries:
                entries.remove(ref)
            (self._trees / f"{entry.sha256}.json").unlink(missing_ok=True)
            shutil.rmtree(self._trees / entry.sha256, ignore_errors=True)

    def serving(self, ref: Ref) -> Serving:
        """Read what an installed release asks of TorchServe on this host."""
        return tree_files.serving(self._tree(ref), self._entry(ref).overlay)

    def released_serving(self, ref: Ref) -> Serving:
        """Read what it asks on any host."""
        return tree_files.serving(self._tree(ref))

    def golden_cases(self, ref: Ref) -> list[GoldenCase]:
        """Read the golden cases of an installed release."""
        return tree_files.golden_cases(self._tree(ref))

    def mark_answered(self, ref: Ref) -> None:
        """Remember that *ref* has answered its golden requests on this host."""
        with disk.failures("the model store"):
            marker = self._home / "answered" / self._entry(ref).sha256
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()

    def load_error(self, ref: Ref) -> str | None:
        """Give the shared handler's own report of why *ref* could not be loaded."""
        for report in self._load_errors(ref):
            with suppress(FileNotFoundError):
                return report.read_text("utf-8").strip()
        return None

    def clear_load_error(self, ref: Ref) -> None:
        """Forget the report, before a new try."""
        with disk.failures("the model store"):
            for report in self._load_errors(ref):
                report.unlink(missing_ok=True)

    def _load_errors(self, ref: Ref) -> Iterator[Path]:
        for entries in self._entries:
            if entries.find(ref) is not None:
                yield from (one / _LOAD_ERROR for one in entries.running(ref))

    def _take(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, _PID_BYTES, 0).decode(errors="replace").strip()
            raise RefusedError(
                f"another ms is at work on {self._root}: process {holder}",
                hint="wait until it is done, or stop it",
            ) from error
        # Who makes room on a full disk needs the lock, but nobody needs to know who.
        with suppress(OSError):
            os.pwrite(lock, str(os.getpid()).encode().ljust(_PID_BYTES), 0)

    def _installed(self) -> Iterator[tuple[Ref, Installed]]:
        names = {ref_of(entry.name) for entry in self._root.iterdir()}
        for ref in sorted(ref for ref in names if ref is not None):
            found = self._find(ref)
            if found is not None:
                yield ref, found

    def _find(self, ref: Ref) -> Installed | None:
        for entries in self._entries:
            entry = entries.find(ref)
            if entry is not None and (self._trees / entry.sha256).is_dir():
                return Installed(
                    sha256=entry.sha256,
                    answered=(self._home / "answered" / entry.sha256).exists(),
                    overlay=entry.overlay,
                    layout=entries.layout,
                )
        return None

    def _made(self, ref: Ref) -> Entry | None:
        """Say what the entry of a version is made of, in the wanted layout first."""
        found = (entries.find(ref) for entries in self._entries)
        return next((entry for entry in found if entry is not None), None)

    def _entry(self, ref: Ref) -> Entry:
        entry = self._made(ref)
        if entry is None:
            raise OutsideError(
                f"{ref} is not in the model store {self._root}",
                hint="`ms sync plan` shows what is there",
            )
        return entry

    def _tree(self, ref: Ref) -> Path:
        return self._trees / self._entry(ref).sha256

    def _records(self) -> Iterator[tuple[Path, Release]]:
        """Yield the trees of this host, with the releases that they are.

        A tree whose record cannot be read gives nothing to others.
        """
        for record in sorted(self._trees.glob("*.json")):
            tree, release = record.with_suffix(""), None
            with suppress(ModelServersError):
                release = read_record(record.read_bytes(), shown_as=str(record))
            if release is not None and tree.is_dir():
                yield tree, release

    def _shareable(self, members: Sequence[ReleasedMember]) -> dict[str, Path]:
        """Find those of *members* that a tree of this host holds whole, by digest."""
        wanted = {one.sha256 for one in members}
        found: dict[str, Path] = {}
        for tree, release in self._records():
            recorded_ns = tree.with_suffix(".json").stat().st_mtime_ns
            for one in release.archive.members:
                file, is_missing = tree / one.path, one.sha256 in wanted - found.keys()
                if is_missing and tree_files.is_whole(
                    file, one, recorded_ns=recorded_ns
                ):
                    found[one.sha256] = file
        return found

    def _local_segments(self) -> dict[str, Place]:
        places: dict[str, Place] = {}
        for tree, release in self._records():
            places |= places_in_tree(release, str(tree))
        return places

    def _make_tree(
        self,
        release: Release,
        tree: Path,
        chunks: Chunks,
        on_bytes: OnBytes,
    ) -> None:
        """Share or bring every member, verified, then give the tree its name.

        Interrupted, verified segments stay in the partial tree and are used again.
        """
        partial = tree.with_name(f".partial-{tree.name}")
        members = release.archive.members
        shared = self._shareable(members)
        brought = [member for member in members if member.sha256 not in shared]
        files = delta.Files(lengths={str(partial / m.path): m.length for m in brought})
        self._trees.mkdir(parents=True, exist_ok=True)
        disk.check_room(self._trees, files.missing_bytes(), what=str(release.ref))
        for member in members:
            if member.sha256 in shared:
                copying.share(shared[member.sha256], partial / member.path)
        with delta.brought(
            [
                Wanted(
                    part, str(partial / member.path), member.offset, repr(member.path)
                )
                for member in brought
                for part in member.segments
            ],
            files,
            local=self._local_segments(),
            journal=partial.with_name(f"{partial.name}.journal"),
            chunks=chunks,
            on_bytes=on_bytes,
        ):
            for member in brought:
                (partial / member.path).chmod(0o444)
            record = tree.with_suffix(".json")
            record.write_bytes(release.to_bytes())
            disk.sync(record)
            disk.sync(partial)
            partial.rename(tree)
            disk.sync(tree.parent)
