"""Archives that must be the bytes that were built, and tried, elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model_servers.core.contribution import Digests
from model_servers.core.layout import Member
from model_servers.core.release import Archive
from model_servers.errors import RefusedError
from model_servers.journeys.build import Build
from model_servers.ports import ArchiveWriter


@dataclass(frozen=True)
class ExpectingWriter:
    """A writer that gives away only the archives it was told to expect."""

    writer: ArchiveWriter
    sha256: Mapping[str, str]
    """By file name."""

    def toolchain(self) -> Mapping[str, str]:
        """Name what decides about the bytes beside the inputs."""
        return self.writer.toolchain()

    def member_digests(
        self,
        members: Sequence[Member],
        *,
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
    ) -> Mapping[str, Digests]:
        """Digest each member but the manifest."""
        return self.writer.member_digests(members, locate=locate, digests=digests)

    def write(
        self,
        target: Path,
        members: Sequence[Member],
        *,
        locate: Callable[[str], Path],
        digests: Callable[[str], Digests],
        manifest: Callable[[str], Mapping[str, Any]],
    ) -> Archive:
        """Write an archive.

        Raises:
            RefusedError: it is another one than expected; it is not left behind.
        """
        archive = self.writer.write(
            target, members, locate=locate, digests=digests, manifest=manifest
        )
        wanted = self.sha256.get(target.name)
        if archive.sha256 != wanted:
            target.unlink()
            raise RefusedError(
                f"{target.name} is {archive.sha256[:12]}, expected "
                f"{wanted[:12] if wanted else 'no such archive'}",
                hint="build it again from a clean checkout of the same commit",
            )
        return archive


def expecting(build: Build, sha256: Mapping[str, str]) -> Build:
    """Give a build journey that refuses all other archives."""
    return replace(build, writer=ExpectingWriter(build.writer, sha256))
