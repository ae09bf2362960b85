"""Releases: what the store holds, and what publishing would add to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from model_servers.core.canonical import canonical_json
from model_servers.core.names import Ref, Version
from model_servers.core.segments import Run, Segment, covers, gaps
from model_servers.core.verdicts import Passed

if TYPE_CHECKING:
    from typing_extensions import Self

RELEASE_SCHEMA_NUMBER = 1
_RELEASE_FILE = "release.json"


@dataclass(frozen=True)
class ReleasedMember:
    """One file of a released archive."""

    path: str
    offset: int
    """Of its bytes, in the archive; members are stored, not compressed."""

    length: int
    sha256: str
    segments: tuple[Segment, ...]
    """What is moved and verified; they have every byte of the member once."""

    @property
    def run(self) -> Run:
        """Where it is in the archive."""
        return Run(self.offset, self.length)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The bytes of an archive, wherever they are."""

    size_bytes: int
    sha256: str
    members: tuple[ReleasedMember, ...]
    framing_blake3: str
    """Of all bytes that are no member's: headers, padding, the directory."""

    @property
    def framing(self) -> Segment:
        """What makes an archive of the members: the bytes before, between and behind.

        With it, verified segments are a verified archive, and nobody needs to hash
        the whole once more.
        """
        runs = sorted(member.run for member in self.members if member.length)
        return Segment(tuple(gaps(runs, Run(0, self.size_bytes))), self.framing_blake3)


@dataclass(frozen=True, kw_only=True)
class Release:
    """One ``release.json``: it exists if and only if the version is released."""

    ref: Ref
    archive: Archive
    inputs_digest: str
    git_commit: str | None
    """The commit it was built from; None outside a git checkout."""

    toolchain: Mapping[str, str]
    """Versions and digests of what made the archive."""

    resources: Mapping[str, int]
    """Declared needs, such as ``gpu_memory_mib``."""

    tested: tuple[Passed, ...] = ()
    """What these bytes have shown before they were released, by device."""

    @property
    def key(self) -> str:
        """Where the archive is in the store."""
        return archive_key(self.ref, self.archive.sha256)

    def to_bytes(self) -> bytes:
        """Write the document; ``from_mapping`` of it gives this release again."""
        archive = self.archive
        return canonical_json(
            {
                "schema": RELEASE_SCHEMA_NUMBER,
                "name": self.ref.name,
                "version": str(self.ref.version),
                "archive": {
                    "key": self.key,
                    "size": archive.size_bytes,
                    "sha256": archive.sha256,
                    "framing_blake3": archive.framing_blake3,
                },
                "members": [_member_mapping(member) for member in archive.members],
                "inputs_digest": self.inputs_digest,
                "git_commit": self.git_commit,
                "toolchain": self.toolchain,
                "resources": self.resources,
                "tested": [one.to_mapping() for one in self.tested],
            }
        )

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> Self:
        """Read a document that ``release.schema.json`` has accepted.

        Raises:
            ValueError: its segments do not have every byte of their member once.
        """
        return cls(
            ref=Ref(data["name"], Version.parse(data["version"])),
            archive=Archive(
                size_bytes=data["archive"]["size"],
                sha256=data["archive"]["sha256"],
                members=tuple(_member(member) for member in data["members"]),
                framing_blake3=data["archive"]["framing_blake3"],
            ),
            inputs_digest=data["inputs_digest"],
            git_commit=data["git_commit"],
            toolchain=data["toolchain"],
            resources=data["resources"],
            tested=tuple(map(Passed.from_mapping, data["tested"])),
        )


def archive_key(ref: Ref, sha256: str) -> str:
    """Say where an archive goes; the key carries the digest, so it never changes."""
    return f"models/{ref.name}/{ref.version}/{ref.entry}-{sha256[:16]}.mar"


def release_key(ref: Ref) -> str:
    """Say where a release's document goes; creating it is the commit."""
    return f"models/{ref.name}/{ref.version}/{_RELEASE_FILE}"


def released_versions(name: str, keys: Iterable[str]) -> list[Version]:
    """Pick the versions of *name* among the store's keys, oldest first.

    Keys that are no release of it, whoever wrote them, are passed over.
    """
    start, end = f"models/{name}/", f"/{_RELEASE_FILE}"
    versions = []
    for key in keys:
        if key.startswith(start) and key.endswith(end):
            with suppress(ValueError):
                versions.append(Version.parse(key[len(start) : -len(end)]))
    return sorted(versions)


def released_refs(keys: Iterable[str]) -> list[Ref]:
    """Pick the released versions of all models among the store's keys, in order.

    Keys that are no release, whoever wrote them, are passed over.
    """
    refs = []
    for key in keys:
        folder, _, file = key.rpartition("/")
        models, _, entry = folder.partition("/")
        if (models, file) == ("models", _RELEASE_FILE):
            with suppress(ValueError):
                refs.append(Ref.parse(entry.replace("/", "@", 1)))
    return sorted(refs)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A version on main, as publishing sees it."""

    ref: Ref
    inputs_digest: str


@dataclass(frozen=True, kw_only=True)
class ReleasePlan:
    """What publishing would do."""

    new: tuple[Candidate, ...]
    unchanged: tuple[Candidate, ...]
    conflicts: tuple[Candidate, ...]
    """Released with other inputs; nothing is written while there is one."""


def plan_release(
    candidates: Iterable[Candidate], released: Mapping[Ref, str]
) -> ReleasePlan:
    """Compare what main has with what the store has.

    Args:
        candidates: the versions on main.
        released: the inputs digests of those that are released.
    """
    new, unchanged, conflicts = [], [], []
    for candidate in candidates:
        inputs_digest = released.get(candidate.ref)
        if inputs_digest is None:
            new.append(candidate)
        elif inputs_digest == candidate.inputs_digest:
            unchanged.append(candidate)
        else:
            conflicts.append(candidate)
    return ReleasePlan(
        new=tuple(new), unchanged=tuple(unchanged), conflicts=tuple(conflicts)
    )


def _member_mapping(member: ReleasedMember) -> dict[str, Any]:
    return {
        "path": member.path,
        "offset": member.offset,
        "length": member.length,
        "sha256": member.sha256,
        "segments": [
            {"runs": [list(run) for run in part.runs], "blake3": part.blake3}
            for part in member.segments
        ],
    }


def _member(data: Mapping[str, Any]) -> ReleasedMember:
    segments = tuple(
        Segment(tuple(Run(*run) for run in part["runs"]), part["blake3"])
        for part in data["segments"]
    )
    member = ReleasedMember(**{**data, "segments": segments})
    if not covers(segments, member.run):
        raise ValueError(f"the segments of {member.path!r} are not the whole of it")
    return member
