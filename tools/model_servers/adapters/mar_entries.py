"""Entries of a model store that are archives, which TorchServe unpacks itself.

::

    <model_store>/
        <name>-<version>.mar        what TorchServe registers: the released bytes, or
                                    the same members with what this host adds
        .model-servers/
            archives/<name>-<version>.json  what that archive is made of

An archive as it was released is put together again from its tree, byte for byte. One
with settings of this host, or with requirements, is packed anew: TorchServe finds
packages beside the model's files only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.adapters import disk
from model_servers.adapters.file_digests import digest_file
from model_servers.adapters.frontends import serving_from
from model_servers.adapters.hashing import CHUNK_BYTES
from model_servers.adapters.mar_layout import Input
from model_servers.adapters.mar_layout import Layout as Zip
from model_servers.adapters.releases import read_record
from model_servers.adapters.replacing import replacing
from model_servers.adapters.requirements import Requirements
from model_servers.adapters.tree_files import (
    HOME,
    Entry,
    manifest_model,
    overlaid_config,
)
from model_servers.core.entries import Layout, ref_of
from model_servers.core.layout import MANIFEST, RELEASE_MEMBER
from model_servers.core.names import Ref
from model_servers.core.overlay import Overlay
from model_servers.core.release import Archive, ReleasedMember
from model_servers.errors import OutsideError, RefusedError
from model_servers.ports import OnBytes

if TYPE_CHECKING:
    from typing_extensions import Self

_RECORDS = Path(HOME, "archives")
_COMPILED = "__pycache__"
"""Bound to the times of its sources, which TorchServe does not keep."""


def _untold(_: int) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Packed(Entry):
    """What one archive of a model store is made of."""

    requirements: str
    """The name of the folder with its packages; empty if it requires none."""

    file_sha256: str
    """Of the archive itself."""

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read it back.

        Raises:
            ValueError: *data* is anything else.
        """
        try:
            return cls(**json.loads(data))
        except TypeError as error:
            raise ValueError(str(error)) from error


def packed_archives(root: Path) -> dict[Ref, Packed]:
    """Give every archive of a model store that is ours."""
    records = sorted((root / _RECORDS).glob("[!.]*.json"))
    refs = [ref for one in records if (ref := ref_of(one.stem)) is not None]
    return {ref: packed for ref in refs if (packed := _packed(root, ref)) is not None}


class MarEntries:
    """The archives of one model store."""

    layout = Layout.MAR

    def __init__(self, root: Path, requirements: Requirements) -> None:
        self._root = root
        self._requirements = requirements

    def find(self, ref: Ref) -> Packed | None:
        """Say what the entry of a version is made of; None if it is not ours."""
        return _packed(self._root, ref)

    def make(self, ref: Ref, tree: Path, overlay: Overlay) -> None:
        """Write the archive of a version; it is complete, or as it was before.

        Raises:
            OutsideError: a file of the tree has rotted, or the disk is full.
            RefusedError: another one's archive has this name.
        """
        packages = self._packages(tree)
        layout = Zip.of(_inputs(tree, packages, overlay))
        size_bytes = layout.pieces[-1].offset + layout.pieces[-1].length
        target = self._file(ref)
        disk.check_room(self._root, size_bytes, what=target.name)
        with replacing(target) as file:
            archive = layout.written(file)
            os.fchmod(file, 0o444)
            self._spare_others(ref, archive)
        packed = Packed(
            sha256=tree.name,
            overlay=dict(overlay),
            requirements="" if packages is None else packages.name,
            file_sha256=archive.sha256,
        )
        # Last: an archive that its record does not describe yet is made once more.
        with replacing(self._record(ref)) as file:
            disk.write(file, json.dumps(asdict(packed)).encode())
            os.fsync(file)

    def remove(self, ref: Ref) -> None:
        """Take the entry away."""
        if self.find(ref) is not None:
            self._file(ref).unlink()
        self._record(ref).unlink(missing_ok=True)

    def running(self, ref: Ref) -> Iterator[Path]:
        """Yield the folders in which a version runs, if it does.

        A TorchServe that is not seen, as of another user, has none that are known.
        """
        frontend = serving_from(self._root)
        if frontend is None:
            return
        for file in Path(frontend.temp, "models").glob(f"*/{MANIFEST}"):
            if _is_of(file, ref):
                yield file.parents[1]

    def of_tree(self, sha256: str) -> list[Ref]:
        """List the versions whose archives are made of one tree."""
        return [ref for ref, packed in self.all().items() if packed.sha256 == sha256]

    def all(self) -> dict[Ref, Packed]:
        """Give every archive of ours."""
        return packed_archives(self._root)

    def is_right(self, ref: Ref, *, on_bytes: OnBytes = _untold) -> bool:
        """Hash an archive, and say whether it is as it was written.

        TorchServe would unpack most of one that has rotted, and then refuse it.
        """
        packed = self.find(ref)
        try:
            found = _sha256(self._file(ref), on_bytes)
        except OSError:  # gone, or a disk that cannot read it any more
            return False
        return packed is not None and packed.file_sha256 == found

    def _record(self, ref: Ref) -> Path:
        return self._root / _RECORDS / f"{ref.entry}.json"

    def _file(self, ref: Ref) -> Path:
        return self._root / Layout.MAR.entry(ref)

    def _packages(self, tree: Path) -> Path | None:
        """Give the folder with what a tree requires, if it requires anything."""
        name = manifest_model(tree).get("requirementsFile")
        return None if name is None else self._requirements.installed(tree / name)

    def _spare_others(self, ref: Ref, archive: Archive) -> None:
        """Refuse to take the place of what this tool has not written."""
        file = self._file(ref)
        if self._record(ref).exists() or not file.exists():
            return
        if _sha256(file) != archive.sha256:
            raise RefusedError(
                f"{file} is not from ms, and is not what {ref} should be here",
                hint="move it away, and run the command again",
            )


def _packed(root: Path, ref: Ref) -> Packed | None:
    try:
        packed = Packed.from_bytes((root / _RECORDS / f"{ref.entry}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return packed if (root / Layout.MAR.entry(ref)).is_file() else None


def _inputs(tree: Path, packages: Path | None, overlay: Overlay) -> list[Input]:
    """Give the members of an archive, in their order; all are hashed."""
    record = tree.with_suffix(".json")
    data = record.read_bytes()
    release = read_record(data, shown_as=str(record))
    members = {one.path: _verified(tree, one) for one in release.archive.members}
    if not overlay and packages is None:
        return list(members.values())
    if overlay:
        name, text = overlaid_config(tree, overlay)
        members[name] = Input.of_bytes(name, text.encode())
    # An archive cannot hold its own digest; a model that is asked can tell it.
    members[RELEASE_MEMBER] = Input.of_bytes(RELEASE_MEMBER, data)
    added = [] if packages is None else _package_files(packages, members)
    return [*members.values(), *added]


def _verified(tree: Path, member: ReleasedMember) -> Input:
    file = tree / member.path
    digests = digest_file(file)
    if digests.sha256 != member.sha256:
        raise OutsideError(
            f"{file} has rotted: sha256 {digests.sha256}, released {member.sha256}",
            hint="`ms sync verify` mends it",
        )
    return Input(member.path, digests, file)


def _package_files(packages: Path, members: Collection[str]) -> Iterator[Input]:
    """Yield the files of packages; a file of the model hides a package of its name."""
    taken = {path.partition("/")[0] for path in members}
    for package in sorted(packages.iterdir()):
        for file in sorted([package, *package.rglob("*")]):
            path = file.relative_to(packages)
            if package.name in taken or _COMPILED in path.parts or not file.is_file():
                continue
            yield Input(path.as_posix(), digest_file(file), file)


def _sha256(file: Path, on_bytes: OnBytes = _untold) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            on_bytes(len(chunk))
    return digest.hexdigest()


def _is_of(file: Path, ref: Ref) -> bool:
    """Say whether a manifest is that of a version; TorchServe may be writing it."""
    try:
        model = json.loads(file.read_bytes())["model"]
        found = (model["modelName"], str(model["modelVersion"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return found == (ref.name, str(ref.version))
