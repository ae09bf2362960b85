"""The model store of a host, and the verified files behind it.

::

    <model_store>/
        <name>-<version>            a link to work/<sha256>: what TorchServe registers
        .model-servers/
            trees/<sha256>/         an archive unpacked: verified, read-only
            trees/<sha256>.json     its release.json
            work/<sha256>/          what a model runs in: the tree's files, its
                                    requirements, and what its handler adds
            work/<sha256>-<overlay>/  the same with another model config
            requirements/<digest>/  packages that models share
            answered/<sha256>       its golden requests were answered here

TorchServe ignores hidden entries, and links a registered directory instead of
copying it. Everything appears under its name complete, by a rename.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from model_servers.adapters import copying, delta, disk, documents, released_config
from model_servers.adapters.entries import why_unusable
from model_servers.adapters.releases import read_record
from model_servers.adapters.requirements import Requirements
from model_servers.core.delta import Place, Wanted, missing_bytes, places_in_tree
from model_servers.core.golden import GoldenCase
from model_servers.core.host import Installed
from model_servers.core.layout import GOLDEN_FOLDER, MANIFEST, RELEASE_MEMBER
from model_servers.core.names import Ref
from model_servers.core.overlay import Overlay, overlay_digest, with_overlay
from model_servers.core.release import Release
from model_servers.core.spec import Serving
from model_servers.errors import OutsideError, RefusedError
from model_servers.ports import NO_OVERLAY, Chunks, OnBytes

_HOME = ".model-servers"
_LOAD_ERROR = "load-error.txt"
"""Where the shared handler says why it could not load a model."""

_OVERLAY = "overlay.json"
"""What this host has changed in the model config, beside it."""

_COPY_BELOW_BYTES = 2**20
"""Small files of a tree are copied for a model to run in, large ones shared."""

_PID_BYTES = 10
"""So many that writing over another process needs no room on the disk."""


class LocalModelStore:
    """The model store below one folder of this machine."""

    def __init__(self, root: Path, *, python: str) -> None:
        self._root = root
        self._home = root / _HOME
        self._trees = self._home / "trees"
        self._requirements = Requirements(self._home / "requirements", python)

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
        return dict(self._installed()) if self._root.is_dir() else {}

    def missing_bytes(self, release: Release) -> int:
        """Say how many bytes of *release* no tree on this host has."""
        if (self._trees / release.archive.sha256).is_dir():
            return 0
        members = self._local_members()
        parts = [
            part
            for member in release.archive.members
            if member.sha256 not in members
            for part in member.parts()
        ]
        return missing_bytes(parts, self._local_segments())

    def needs_pip(
        self, release: Release, *, read_range: Callable[[int, int], bytes]
    ) -> bool:
        """Say whether this host lacks the packages that *release* requires."""
        tree = self._trees / release.archive.sha256
        manifest = (
            _manifest(tree)
            if tree.is_dir()
            else released_config.manifest(release, read_range)
        )
        named = manifest["model"].get("requirementsFile")
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

    def install(
        self,
        release: Release,
        *,
        chunks: Chunks,
        on_bytes: OnBytes,
        overlay: Overlay = NO_OVERLAY,
    ) -> None:
        """Make *release* ready to be registered; complete, or not visible."""
        with disk.failures("the model store"):
            tree = self._trees / release.archive.sha256
            if not tree.is_dir():
                self._make_tree(release, tree, chunks, on_bytes)
            work = self._make_work(tree, overlay)
            self._link(release.ref, work)

    def restore(self, ref: Ref) -> None:
        """Lay out anew what runs of an installed release, if it cannot be loaded."""
        if not why_unusable(self._root, ref):
            return
        with disk.failures("the model store"):
            self._make_work(self._tree(ref), _read_overlay(self._root / ref.entry))
        reason = why_unusable(self._root, ref)
        if reason:
            raise OutsideError(
                f"{ref} cannot be loaded: {reason}",
                hint="`ms sync verify` mends what has rotted",
            )

    def forget(self, ref: Ref) -> None:
        """Take an installed release off the disk; its requirements stay."""
        with disk.failures("the model store"):
            link = self._root / ref.entry
            if not link.is_symlink():
                return
            sha256 = self._sha256(ref)
            link.unlink()
            for work in (self._home / "work").glob(f"{sha256}*"):
                shutil.rmtree(work, ignore_errors=True)
            (self._trees / f"{sha256}.json").unlink(missing_ok=True)
            shutil.rmtree(self._trees / sha256, ignore_errors=True)

    def serving(self, ref: Ref) -> Serving:
        """Read what an installed release asks of TorchServe on this host."""
        return _serving(self._root / ref.entry)

    def released_serving(self, ref: Ref) -> Serving:
        """Read what it asks on any host."""
        return _serving(self._tree(ref))

    def golden_cases(self, ref: Ref) -> list[GoldenCase]:
        """Read the golden cases of an installed release."""
        folder = self._tree(ref) / GOLDEN_FOLDER
        return [
            GoldenCase.from_mapping(
                case.stem,
                documents.parse(case.read_text("utf-8"))[0],
                read=lambda name: (folder / name).read_bytes(),
            )
            for case in sorted(folder.glob("*.yaml"))
        ]

    def mark_answered(self, ref: Ref) -> None:
        """Remember that *ref* has answered its golden requests on this host."""
        with disk.failures("the model store"):
            marker = self._home / "answered" / self._sha256(ref)
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()

    def load_error(self, ref: Ref) -> str | None:
        """Give the shared handler's own report of why *ref* could not be loaded."""
        try:
            return (self._root / ref.entry / _LOAD_ERROR).read_text("utf-8").strip()
        except FileNotFoundError:
            return None

    def clear_load_error(self, ref: Ref) -> None:
        """Forget the report, before a new try."""
        with disk.failures("the model store"):
            (self._root / ref.entry / _LOAD_ERROR).unlink(missing_ok=True)

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
        for entry in sorted(self._root.iterdir()):
            ref = _ref(entry.name)
            found = None if ref is None else self._find(ref)
            if ref is not None and found is not None:
                yield ref, found

    def _find(self, ref: Ref) -> Installed | None:
        entry = self._root / ref.entry
        if not entry.is_symlink() or not entry.is_dir():
            return None
        ours = entry.readlink().parent == Path(_HOME, "work")
        sha256 = self._sha256(ref)
        if not ours or not (self._trees / sha256).is_dir():
            return None
        answered = (self._home / "answered" / sha256).exists()
        overlay = _read_overlay(entry)
        return Installed(sha256=sha256, answered=answered, overlay=overlay)

    def _sha256(self, ref: Ref) -> str:
        return (self._root / ref.entry).readlink().name.partition("-")[0]

    def _tree(self, ref: Ref) -> Path:
        return self._trees / self._sha256(ref)

    def _records(self) -> Iterator[tuple[Path, Release]]:
        """Yield the trees of this host, with the releases that they are."""
        for record in sorted(self._trees.glob("*.json")):
            tree = record.with_suffix("")
            if tree.is_dir():
                yield tree, read_record(record.read_bytes(), shown_as=str(record))

    def _local_members(self) -> dict[str, Path]:
        """Find the members that trees of this host hold, by their digest."""
        return {
            member.sha256: tree / member.path
            for tree, release in self._records()
            for member in release.archive.members
        }

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
        shared = self._local_members()
        members = release.archive.members
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
                for part in member.parts()
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

    def _make_work(self, tree: Path, overlay: Overlay) -> Path:
        """Lay out what the model runs in, from its tree and its requirements.

        The model may write there: its handler unpacks and installs. Small files
        are copies, so that it can spoil nothing that others share.
        """
        digest = overlay_digest(overlay)
        work = self._home / "work" / (f"{tree.name}-{digest}" if digest else tree.name)
        partial = work.with_name(f".partial-{tree.name}")
        shutil.rmtree(partial, ignore_errors=True)
        for file in sorted(path for path in tree.rglob("*") if path.is_file()):
            target = partial / file.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.stat().st_size < _COPY_BELOW_BYTES:
                shutil.copyfile(file, target)
            else:
                copying.share(file, target)
        # An archive cannot hold its own digest; a model that is asked can tell it.
        shutil.copyfile(tree.with_suffix(".json"), partial / RELEASE_MEMBER)
        if overlay:
            _write_overlay(partial, overlay)
        requirements = _manifest(tree)["model"].get("requirementsFile")
        if requirements is not None:
            self._add_packages(tree / requirements, partial)
        disk.sync(partial)
        shutil.rmtree(work, ignore_errors=True)
        partial.rename(work)
        return work

    def _add_packages(self, requirements: Path, target: Path) -> None:
        """Link the packages where TorchServe's own install would put them."""
        for package in self._requirements.installed(requirements).iterdir():
            link = target / package.name
            if not link.exists():
                link.symlink_to(package)

    def _link(self, ref: Ref, work: Path) -> None:
        link = self._root / ref.entry
        fresh = self._home / f".partial-{ref.entry}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(work.relative_to(self._root))
        fresh.replace(link)
        disk.sync(self._root)


def _ref(entry: str) -> Ref | None:
    """Read the name of an entry; None if it cannot be one of ours."""
    name, _, version = entry.rpartition("-")
    try:
        return Ref.parse(f"{name}@{version}")
    except ValueError:
        return None


def _manifest(tree: Path) -> Mapping[str, Any]:
    manifest: Mapping[str, Any] = json.loads((tree / MANIFEST).read_bytes())
    return manifest


def _serving(tree: Path) -> Serving:
    config = _manifest(tree)["model"].get("configFile")
    if config is None:
        return Serving()
    data, _ = documents.parse((tree / config).read_text("utf-8"))
    return Serving.from_mapping(data)


def _read_overlay(work: Path) -> Overlay:
    try:
        overlay: Overlay = json.loads((work / _OVERLAY).read_bytes())
    except FileNotFoundError:
        return {}
    return overlay


def _write_overlay(work: Path, overlay: Overlay) -> None:
    """Change the model config in *work*, which is a copy, and say what was changed."""
    name = _manifest(work)["model"].get("configFile", "model-config.yaml")
    config = work / name
    own = documents.parse(config.read_text("utf-8"))[0] if config.exists() else {}
    config.unlink(missing_ok=True)  # a small file is a copy, a large one is shared
    config.write_text(with_overlay(own, overlay), "utf-8")
    (work / _OVERLAY).write_text(json.dumps(dict(overlay)), "utf-8")
