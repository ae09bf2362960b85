"""What stands where in an archive, and the digest of what went into it."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model_servers.core.canonical import sha256_of
from model_servers.core.names import Ref
from model_servers.core.spec import ModelSpec, Serving

HANDLER_PACKAGE = "model_servers_handler"
"""The shared handler's directory in every archive; nothing else stands in it."""

HANDLER_FILES = (
    "base_handler.py",
    *(
        f"{HANDLER_PACKAGE}/{name}.py"
        for name in (
            "__init__",
            "answering",
            "answers",
            "batches",
            "checkpoints",
            "devices",
            "errors",
            "files",
            "formats",
            "functions",
            "json_text",
            "loading",
            "options",
            "requests",
            "tensors",
            "wire",
        )
    ),
)
"""The shared handler's files, by their places in every archive."""

MANIFEST = "MAR-INF/MANIFEST.json"
GOLDEN_FOLDER = "MAR-INF/golden"
"""Golden cases travel in the archive, out of the way of the model's imports."""

RELEASE_MEMBER = "MAR-INF/release.json"
"""Where a host puts a release's document, for the shared handler to report."""

SOURCE_ARCHIVE_ENDINGS = (".tar.gz", ".tgz", ".tar")
"""What the build can make; other archives must stand ready in the directory."""

_WRITER = "model-servers 1"
_LEFT_OUT = ("__pycache__", ".DS_Store")


@dataclass(frozen=True)
class ModelFile:
    """A member's content: one file of the model's directory."""

    path: str


@dataclass(frozen=True)
class SourceArchive:
    """A member's content: a tar of files of the model's directory."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class HandlerFile:
    """A member's content: one file of the shared handler."""

    path: str


@dataclass(frozen=True)
class ManifestFile:
    """A member's content: TorchServe's manifest, which the build writes."""


Source = ModelFile | SourceArchive | HandlerFile | ManifestFile


@dataclass(frozen=True)
class Member:
    """One file of an archive: its path in there and where its bytes come from."""

    path: str
    source: Source


def plan_members(
    spec: ModelSpec, serving: Serving, files: Iterable[str]
) -> list[Member]:
    """List what goes into the archive.

    Args:
        spec: says which files.
        serving: says whether the extra files travel in an archive of their own.
        files: every file of the model's directory.

    Returns:
        The checkpoint first, so that releases of one checkpoint share one long
        prefix; then the rest by path. Two members with one path are a collision,
        which :func:`collisions` finds.
    """
    files = sorted(files)
    build = spec.build
    members = [
        Member(posixpath.basename(path), ModelFile(path))
        for path in (build.model_file, build.config_file, build.requirements_file)
        if path is not None
    ]
    members += [Member(path, HandlerFile(path)) for path in HANDLER_FILES]
    members.append(Member(MANIFEST, ManifestFile()))
    members += _extra_members(build.extra_files, serving.extra_files, files)
    members += [
        Member(
            posixpath.join(GOLDEN_FOLDER, path.removeprefix(f"{spec.golden}/")), file
        )
        for path in below(spec.golden, files)
        for file in [ModelFile(path)]
    ]
    members.sort(key=lambda member: member.path)
    if build.checkpoint_file is not None:
        checkpoint = build.checkpoint_file
        members.insert(0, Member(posixpath.basename(checkpoint), ModelFile(checkpoint)))
    return members


def makes_source_archive(
    extra_files: Collection[str], archive: str, files: Collection[str]
) -> bool:
    """Say whether the build makes ``system.extraFiles`` from the listed files.

    It does where the named archive does not stand ready in the directory, so that
    sources stay readable in git and the archive is a product of the build.
    """
    return archive not in files and archive not in extra_files


def below(path: str, files: Iterable[str]) -> list[str]:
    """Give *path* itself, or the files in it if it is a directory."""
    return [
        file
        for file in files
        if (file == path or file.startswith(f"{path.rstrip('/')}/"))
        and not any(part in _LEFT_OUT for part in file.split("/"))
        and not file.endswith(".pyc")
    ]


def collisions(members: Iterable[Member]) -> Iterator[tuple[str, list[Source]]]:
    """Yield each path of the unpacked archive that several files claim.

    Whatever their case, and a file also where another needs a directory. The files
    of a source archive count: the handler unpacks them beside the others. The
    handler's package is one place, in which nothing else can stand.
    """
    package = Member(HANDLER_PACKAGE, HandlerFile(HANDLER_PACKAGE))
    claims: dict[str, list[Member]] = {package.path: [package]}
    inside: dict[str, Member] = {}
    for member in members:
        for path in unpacked(member):
            claim = Member(path, member.source)
            claims.setdefault(path.lower(), []).append(claim)
            for folder in _folders(path.lower()):
                inside.setdefault(folder, claim)
    for claimed, claimants in claims.items():
        if len(claimants) > 1 or claimed in inside:
            rivals = [*claimants, *([inside[claimed]] if claimed in inside else [])]
            yield claimants[0].path, [member.source for member in rivals]


def _folders(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def unpacked(member: Member) -> list[str]:
    """List the files that a member becomes where the model runs."""
    if isinstance(member.source, SourceArchive):
        return [member.path, *member.source.paths]
    if isinstance(member.source, HandlerFile) and "/" in member.path:
        return []  # in the package, which is claimed as a whole
    return [member.path]


def inputs_digest(
    ref: Ref, members: Iterable[Member], digests: Mapping[str, str]
) -> str:
    """Digest everything that decides whether a version must be raised.

    Args:
        ref: name and version.
        members: the archive's members.
        digests: sha256 of every file of the model's directory that they use.

    Returns:
        sha256, hex. The shared handler is left out: a new handler reaches a model
        with its next version and does not make published versions wrong.
    """
    inputs = {
        member.path: _input(member.source, digests)
        for member in members
        if isinstance(member.source, ModelFile | SourceArchive)
    }
    return sha256_of({"name": ref.name, "version": str(ref.version), "members": inputs})


def handler_digest(digests: Mapping[str, str]) -> str:
    """Digest the shared handler, given the sha256 of each of its files.

    In a worker the handler computes the same of itself (``files.py`` there).
    """
    return sha256_of(dict(digests))


def used_files(members: Iterable[Member]) -> list[str]:
    """List the files of the model's directory that the members are made of."""
    used: set[str] = set()
    for member in members:
        match member.source:
            case ModelFile(path):
                used.add(path)
            case SourceArchive(paths):
                used.update(paths)
    return sorted(used)


def manifest(
    spec: ModelSpec, *, inputs_digest: str, handler_digest: str
) -> dict[str, Any]:
    """Give TorchServe's manifest, with release facts in a field of our own.

    The handler is the shared one; it imports the author's file, which
    ``modelFile`` names. No time, no host, no commit: the same inputs give the
    same bytes.

    Source: TorchServe ignores fields it does not know, warns without
        ``createdOn`` and ``archiverVersion``, and runs ``python3`` from the PATH
        instead of its own interpreter unless the runtime is ``python``
        (0.12, Manifest.java, EnvironmentUtils.java:77-91).
    """
    build = spec.build
    model = {
        "modelName": spec.name,
        "modelVersion": str(spec.version),
        "handler": "base_handler:handle",
        "modelFile": posixpath.basename(build.model_file),
        "serializedFile": build.checkpoint_file
        and posixpath.basename(build.checkpoint_file),
        "configFile": posixpath.basename(build.config_file),
        "requirementsFile": build.requirements_file
        and posixpath.basename(build.requirements_file),
    }
    return {
        "createdOn": "01/01/1980 00:00:00",
        "runtime": "python",
        "model": {key: value for key, value in model.items() if value is not None},
        "archiverVersion": _WRITER,
        "modelServers": {
            "inputsDigest": inputs_digest,
            "handlerDigest": handler_digest,
        },
    }


def _extra_members(
    extra_files: tuple[str, ...], archives: tuple[str, ...], files: list[str]
) -> list[Member]:
    made = [
        archive
        for archive in archives
        if makes_source_archive(extra_files, archive, files)
    ]
    # Archives that stand ready travel as they are, beside the one that is made.
    plain = tuple(path for path in extra_files if not made or path in archives)
    members = [Member(file, ModelFile(file)) for file in _sources(plain, files)]
    if made:
        packed = tuple(path for path in extra_files if path not in plain)
        members.append(Member(made[0], SourceArchive(tuple(_sources(packed, files)))))
    return members


def _sources(extra_files: tuple[str, ...], files: list[str]) -> list[str]:
    """Give what *extra_files* lists, looking at each file of the directory once."""
    found: dict[str, list[str]] = {path.rstrip("/"): [] for path in extra_files}
    for file in files:
        for place in (file, *_folders(file)):
            if place in found:
                found[place] += below(place, [file])
    return [file for path in extra_files for file in found[path.rstrip("/")]]


def _input(source: ModelFile | SourceArchive, digests: Mapping[str, str]) -> Any:
    if isinstance(source, ModelFile):
        return digests[source.path]
    return {path: digests[path] for path in source.paths}
