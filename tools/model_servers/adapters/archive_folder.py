"""A folder with released archives: each is verified, complete or not there.

While ``<name>-<version>.mar`` is fetched, ``.<name>-<version>.mar.fetch`` grows beside
it, with a journal; both are found again after a crash and gone in the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from model_servers.adapters import delta, disk
from model_servers.core.delta import (
    Place,
    archive_wanted,
    missing_bytes,
    places_in_archive,
)
from model_servers.core.names import Ref
from model_servers.core.release import Release
from model_servers.ports import Chunks, OnBytes

_MAR = ".mar"
_CHUNK_BYTES = 4 * 2**20


class ArchiveFolder:
    """Archives by the names that ``ms build`` gives them."""

    def __init__(self, root: Path) -> None:
        """Name the folder; it may be missing."""
        self._root = root

    def path(self, ref: Ref) -> Path:
        """Say where the archive of a release is, or would be."""
        return self._root / f"{ref.entry}{_MAR}"

    def refs(self, name: str) -> list[Ref]:
        """List the archives of a model by their names, whatever is in them."""
        found = []
        for path in self._root.glob(f"{name}-*{_MAR}"):
            text = path.name.removeprefix(f"{name}-").removesuffix(_MAR)
            with suppress(ValueError):
                found.append(Ref.parse(f"{name}@{text}"))
        return sorted(found)

    def is_whole(self, release: Release) -> bool:
        """Say whether the archive is here, byte for byte."""
        path = self.path(release.ref)
        with disk.failures(f"reading {path}"):
            if not path.is_file() or path.stat().st_size != release.archive.size_bytes:
                return False
            with path.open("rb") as stream:
                digest = hashlib.sha256()
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
        return digest.hexdigest() == release.archive.sha256

    def missing_bytes(self, release: Release, here: Iterable[Release]) -> int:
        """Say how many bytes no archive of this folder has, if they are whole."""
        wanted = archive_wanted(release.archive, "")
        return missing_bytes((one.segment for one in wanted), self._places(here))

    def bring(
        self,
        release: Release,
        here: Iterable[Release],
        *,
        chunks: Chunks,
        on_bytes: OnBytes,
    ) -> Path:
        """Put the archive together, of what is *here* and what has to be read.

        Raises:
            OutsideError: wrong bytes came, or the disk is full.
            RefusedError: another process is fetching the same release.
        """
        target = self.path(release.ref)
        partial = target.with_name(f".{target.name}.fetch")
        files = delta.Files(lengths={str(partial): release.archive.size_bytes})
        with disk.failures(f"writing {target}"):
            self._root.mkdir(parents=True, exist_ok=True)
            disk.check_room(self._root, files.missing_bytes(), what=str(release.ref))
            with delta.brought(
                archive_wanted(release.archive, str(partial)),
                files,
                local=self._places(here),
                journal=partial.with_name(f"{partial.name}.journal"),
                chunks=chunks,
                on_bytes=on_bytes,
            ):
                partial.replace(target)
                disk.sync(self._root)
        return target

    def _places(self, here: Iterable[Release]) -> Mapping[str, Place]:
        places: dict[str, Place] = {}
        for release in here:
            path = self.path(release.ref)
            if path.is_file():
                places |= places_in_archive(release.archive, str(path))
        return places
