"""The model store of a host, and the verified files behind it.

::

    <model_store>/
        <name>-<version>            a link to work/<sha256>: what TorchServe registers
        .model-servers/
            trees/<sha256>/         an archive unpacked: verified, read-only
            trees/<sha256>.json     its release.json
            work/<sha256>/          what a model runs in: the tree's files, its
                                    requirements, and what its handler adds
            requirements/<digest>/  packages that models share
            answered/<sha256>       its golden requests were answered here

TorchServe ignores hidden entries, and links a registered directory instead of
copying it. Everything appears under its name complete, by a rename.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model_servers.adapters import documents
from model_servers.adapters.releases import read_release
from model_servers.adapters.requirements import Requirements
from model_servers.core.golden import GoldenCase
from model_servers.core.host import Installed
from model_servers.core.layout import GOLDEN_FOLDER, MANIFEST, RELEASE_MEMBER
from model_servers.core.names import Ref
from model_servers.core.release import Release, ReleasedMember, Segment
from model_servers.core.spec import Serving
from model_servers.errors import OutsideError, RefusedError
from model_servers.ports import OnBytes

_HOME = ".model-servers"
_LOAD_ERROR = "load-error.txt"
"""Where the shared handler says why it could not load a model."""

_FETCHES = 4
"""Ranges in flight; more gained nothing on loopback."""

_COPY_BELOW_BYTES = 2**20
"""Small files of a tree are copied for a model to run in, large ones shared."""

_FICLONE = 0x40049409
_SPARE_BYTES = 64 * 2**20
"""What must be left on the disk after an install."""


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
        with _disk():
            self._home.mkdir(parents=True, exist_ok=True)
        with (self._home / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise RefusedError(
                    f"another ms is at work on {self._root}: process {lock.read()}",
                    hint="wait until it is done, or stop it",
                ) from error
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def installed(self) -> dict[Ref, Installed]:
        """List the releases that are ready to be registered."""
        return dict(self._installed()) if self._root.is_dir() else {}

    def missing_bytes(self, release: Release) -> int:
        """Say how many bytes of *release* no tree on this host has."""
        if (self._trees / release.archive.sha256).is_dir():
            return 0
        local = self._local_members()
        return sum(
            member.length
            for member in release.archive.members
            if member.sha256 not in local
        )

    def install(
        self,
        release: Release,
        *,
        read_range: Callable[[int, int], bytes],
        on_bytes: OnBytes,
    ) -> None:
        """Make *release* ready to be registered; complete, or not visible."""
        with _disk():
            tree = self._trees / release.archive.sha256
            if not tree.is_dir():
                self._check_space(release)
                self._make_tree(release, tree, read_range, on_bytes)
            work = self._make_work(tree)
            self._link(release.ref, work)

    def forget(self, ref: Ref) -> None:
        """Take an installed release off the disk; its requirements stay."""
        with _disk():
            link = self._root / ref.entry
            if not link.is_symlink():
                return
            sha256 = self._sha256(ref)
            link.unlink()
            shutil.rmtree(self._home / "work" / sha256, ignore_errors=True)
            (self._trees / f"{sha256}.json").unlink(missing_ok=True)
            shutil.rmtree(self._trees / sha256, ignore_errors=True)

    def serving(self, ref: Ref) -> Serving:
        """Read what an installed release asks of TorchServe."""
        tree = self._tree(ref)
        config = _manifest(tree)["model"].get("configFile")
        if config is None:
            return Serving()
        data, _ = documents.parse((tree / config).read_text("utf-8"))
        return Serving.from_mapping(data)

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
        with _disk():
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
        with _disk():
            (self._root / ref.entry / _LOAD_ERROR).unlink(missing_ok=True)

    def _installed(self) -> Iterator[tuple[Ref, Installed]]:
        for entry in sorted(self._root.iterdir()):
            ref = _ref(entry.name)
            if ref is None or not entry.is_symlink() or not entry.is_dir():
                continue
            target = entry.readlink()
            sha256 = target.name
            ours = target.parent == Path(_HOME, "work")
            if ours and (self._trees / sha256).is_dir():
                answered = (self._home / "answered" / sha256).exists()
                yield ref, Installed(sha256=sha256, answered=answered)

    def _sha256(self, ref: Ref) -> str:
        return (self._root / ref.entry).readlink().name

    def _tree(self, ref: Ref) -> Path:
        return self._trees / self._sha256(ref)

    def _local_members(self) -> dict[str, Path]:
        """Find the members that trees of this host hold, by their digest."""
        members: dict[str, Path] = {}
        for record in sorted(self._trees.glob("*.json")):
            tree = record.with_suffix("")
            if tree.is_dir():
                release = read_release(record.read_bytes(), shown_as=str(record))
                for member in release.archive.members:
                    members[member.sha256] = tree / member.path
        return members

    def _check_space(self, release: Release) -> None:
        self._trees.mkdir(parents=True, exist_ok=True)
        needed = self.missing_bytes(release) + _SPARE_BYTES
        free = shutil.disk_usage(self._trees).free
        if needed > free:
            raise OutsideError(
                f"{release.ref} needs {needed} bytes in {self._root}, {free} are free",
                hint="make room on the disk",
            )

    def _make_tree(
        self,
        release: Release,
        tree: Path,
        read_range: Callable[[int, int], bytes],
        on_bytes: OnBytes,
    ) -> None:
        """Fetch or share every member, verified, then give the tree its name.

        Interrupted, whole members stay in the partial tree and are used again.
        """
        partial = tree.with_name(f".partial-{tree.name}")
        local = self._local_members()
        with ThreadPoolExecutor(_FETCHES) as pool:
            for member in release.archive.members:
                target = partial / member.path
                target.parent.mkdir(parents=True, exist_ok=True)
                if member.sha256 in local:
                    _share(local[member.sha256], target)
                elif not _is_whole(target, member):
                    _fetch(member, target, pool, read_range, on_bytes)
        record = tree.with_suffix(".json")
        record.write_bytes(release.to_bytes())
        _sync(record)
        _sync(partial)
        partial.rename(tree)
        _sync(tree.parent)

    def _make_work(self, tree: Path) -> Path:
        """Lay out what the model runs in, from its tree and its requirements.

        The model may write there: its handler unpacks and installs. Small files
        are copies, so that it can spoil nothing that others share.
        """
        work = self._home / "work" / tree.name
        partial = work.with_name(f".partial-{tree.name}")
        shutil.rmtree(partial, ignore_errors=True)
        for file in sorted(path for path in tree.rglob("*") if path.is_file()):
            target = partial / file.relative_to(tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.stat().st_size < _COPY_BELOW_BYTES:
                shutil.copyfile(file, target)
            else:
                _share(file, target)
        # An archive cannot hold its own digest; a model that is asked can tell it.
        shutil.copyfile(tree.with_suffix(".json"), partial / RELEASE_MEMBER)
        requirements = _manifest(tree)["model"].get("requirementsFile")
        if requirements is not None:
            self._add_packages(tree / requirements, partial)
        _sync(partial)
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
        _sync(self._root)


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


def _is_whole(file: Path, member: ReleasedMember) -> bool:
    """Say whether an interrupted install has left this member complete."""
    if not file.is_file() or file.stat().st_size != member.length:
        return False
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest() == member.sha256


def _fetch(
    member: ReleasedMember,
    target: Path,
    pool: ThreadPoolExecutor,
    read_range: Callable[[int, int], bytes],
    on_bytes: OnBytes,
) -> None:
    """Fetch a member by segments, each hashed before it is written.

    Source: no S3 client verifies a ranged download; a flipped bit passed all that
        were measured.
    """
    with target.open("wb") as stream:
        os.truncate(stream.fileno(), member.length)

        def fetch(segment: Segment) -> None:
            data = read_range(segment.offset, segment.length)
            found = hashlib.sha256(data).hexdigest()
            if found != segment.sha256:
                end = segment.offset + segment.length
                raise OutsideError(
                    f"wrong bytes came for {member.path!r}, bytes {segment.offset} to "
                    f"{end} of the archive: sha256 {found}, released {segment.sha256}",
                    hint="run the command again; if it stays, the store is damaged",
                )
            os.pwrite(stream.fileno(), data, segment.offset - member.offset)
            on_bytes(segment.length)

        list(pool.map(fetch, member.ranges()))
        os.fsync(stream.fileno())
    target.chmod(0o444)


def _share(source: Path, target: Path) -> None:
    """Give *target* the content of *source*: reflink, else hard link, else copy."""
    target.unlink(missing_ok=True)
    try:
        with source.open("rb") as original, target.open("xb") as clone:
            fcntl.ioctl(clone, _FICLONE, original.fileno())
        target.chmod(0o444)
    except OSError:
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
            target.chmod(0o444)


def _sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk() -> Iterator[None]:
    """Tell failures of the disk as what they are."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise OutsideError(
            f"the model store failed: {error}",
            hint="make room on the disk" if full else "check the folder's permissions",
        ) from error
