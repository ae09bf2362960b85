"""Versions by content: which must be raised, to what, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from model_servers.core.codes import Code
from model_servers.core.layout import HANDLER_FILES, MANIFEST
from model_servers.core.names import Ref, Version
from model_servers.core.release import Release

_NAMED = 5
"""More names of members in one line tell nobody more."""


class Part(Enum):
    """The number of a version that is raised."""

    MAJOR = 0
    MINOR = 1
    PATCH = 2


def next_version(
    version: Version, part: Part | None = None, *, taken: Collection[Version] = ()
) -> Version:
    """Raise a version above itself and above every one in *taken*.

    Args:
        version: what it is now.
        part: what to raise; the last number that is written if None.
        taken: versions that are released, in any order.

    >>> next_version(Version.parse("1.9")).text
    '1.10'
    >>> next_version(Version.parse("1.9"), Part.PATCH).text
    '1.9.1'
    >>> next_version(Version.parse("1.0.0"), taken=[Version.parse("1.0.4")]).text
    '1.0.5'
    """
    length = version.text.count(".") + 1
    numbers = max(one.numbers for one in (version, *taken))
    raised = part or (Part.MINOR if length == 2 else Part.PATCH)
    if raised is Part.PATCH:
        length = 3
    kept = numbers[: raised.value]
    rest = (0,) * (2 - raised.value)
    candidate = (*kept, numbers[raised.value] + 1, *rest)
    return Version.parse(".".join(map(str, candidate[:length])))


@dataclass(frozen=True, kw_only=True)
class Piece:
    """The bytes of one member, wherever they are."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Content:
    """One version of a model, and what its archive is made of."""

    ref: Ref
    inputs_digest: str
    members: Mapping[str, Piece]
    """By path; without the manifest, which differs in every version."""

    @classmethod
    def of_release(cls, release: Release) -> Content:
        """Give the content of a released archive."""
        members = {
            one.path: Piece(size_bytes=one.length, sha256=one.sha256)
            for one in release.archive.members
            if one.path != MANIFEST
        }
        return cls(
            ref=release.ref, inputs_digest=release.inputs_digest, members=members
        )


@dataclass(frozen=True, kw_only=True)
class Change:
    """One member that differs; None where there is none."""

    path: str
    before: Piece | None
    after: Piece | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a version would change."""

    now: Content
    then: Content | None
    """What it is compared with; None if the model is new."""

    @property
    def changes(self) -> list[Change]:
        """The members that differ, by path."""
        before = self.then.members if self.then else {}
        after = self.now.members
        return [
            Change(path=path, before=before.get(path), after=after.get(path))
            for path in sorted({*before, *after})
            if before.get(path) != after.get(path)
        ]

    @property
    def inputs(self) -> list[Change]:
        """Those of the contributor; the shared handler decides about no version."""
        return [one for one in self.changes if one.path not in HANDLER_FILES]

    @property
    def handler(self) -> list[Change]:
        """Those of the shared handler."""
        return [one for one in self.changes if one.path in HANDLER_FILES]

    @property
    def new_bytes(self) -> int:
        """How many bytes are in no member of the other version."""
        known = {one.sha256 for one in self.then.members.values()} if self.then else ()
        new = {
            one.sha256: one.size_bytes
            for one in self.now.members.values()
            if one.sha256 not in known
        }
        return sum(new.values())

    @property
    def needs_bump(self) -> bool:
        """Whether the version must be raised before this can be released."""
        if self.then is None:
            return False
        if self.now.ref.version == self.then.ref.version:
            return self.now.inputs_digest != self.then.inputs_digest
        return self.now.ref.version < self.then.ref.version


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a model elsewhere."""

    origin: str
    """Where: ``released in s3://…`` or ``at 1a2b3c4, the merge base with main``."""

    versions: tuple[Version, ...]
    """All that are there, oldest first."""

    same: Content | None
    """The version that is looked at, if it is there."""


def problem(now: Content, known: Known) -> tuple[Code, str, str] | None:
    """Say what is wrong with a version: its code, message and fix; None if nothing."""
    version = now.ref.version
    fix = f"raise it to {next_version(version, taken=known.versions)}: "
    fix += f"`ms bump {now.ref.name}`"
    if known.same is not None and known.same.inputs_digest != now.inputs_digest:
        inputs = Difference(now=now, then=known.same).inputs
        named = [one.path for one in inputs]
        more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        changed = ", ".join(named[:_NAMED]) + more or "the files of build:"
        message = f"the inputs changed under {version}, {known.origin}: {changed}"
        return Code.INPUTS_CHANGED, message, fix
    newest = max(known.versions, default=version)
    if version < newest:
        message = f"the version is {version}, but {newest} is {known.origin}"
        return Code.VERSION_FELL, message, fix
    return None
