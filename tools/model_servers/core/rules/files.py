"""Rules about the files of a model's directory, and their places in the archive."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator, Mapping

from model_servers.core import layout
from model_servers.core.contribution import MODEL_FILE
from model_servers.core.findings import Code, Finding
from model_servers.core.layout import (
    HandlerFile,
    ManifestFile,
    ModelFile,
    Source,
    SourceArchive,
    below,
    used_files,
)
from model_servers.core.rules.subject import Subject

_AUTHORS_FOLDERS = {"docs", "notebooks", "scripts", "tests", "training"}
_AUTHORS_ENDINGS = (".ipynb", ".md", ".py", ".rst", ".sh")
_AUTHORS_FILES = {
    "authors",
    "changelog",
    "channels",
    "citation",
    "copying",
    "dockerfile",
    "licence",
    "license",
    "lifecycle",
    "makefile",
    "notice",
    "readme",
}
"""Files beside the model, by their names without ending, whatever their case."""


def paths(subject: Subject) -> Iterator[Finding]:
    """Every path that ``model.yaml`` names is plain, inside, and there."""
    contribution, spec = subject.contribution, subject.spec
    for where, path in [*spec.build.named_files(), ("golden", spec.golden)]:
        plain = posixpath.normpath(path)
        if _leaves(plain):
            yield subject.in_model(
                Code.OUTSIDE_MODEL,
                f"{path!r} leaves the model's directory",
                where=where,
                fix=f"copy the file into {contribution.root}/ and name it here",
            )
        elif plain != path:
            yield subject.in_model(
                Code.SHAPE,
                f"found the path {path!r}, expected {plain!r}",
                where=where,
                fix=f"write {plain}",
            )
        elif where != "golden" and path not in subject.places:
            yield subject.in_model(
                Code.MISSING_FILE,
                f"{path!r} does not exist in {contribution.root}",
                where=where,
                fix="add the file, or correct the path",
            )


def _leaves(plain: str) -> bool:
    return plain.startswith(("/", "../")) or plain in {"..", "."}


def links(subject: Subject) -> Iterator[Finding]:
    """What is packed is a file of this directory."""
    named = {path for _, path in subject.spec.build.named_files()}
    for path in sorted(named | set(used_files(subject.members))):
        facts = subject.contribution.files.get(path)
        if facts and facts.leaves_model:
            yield subject.in_file(
                Code.OUTSIDE_MODEL,
                "the file is a link to a directory, or out of the model's directory",
                path=path,
                fix="replace the link by a copy",
            )


def collisions(subject: Subject) -> Iterator[Finding]:
    """Every place in the archive is claimed once."""
    for path, rivals in layout.collisions(subject.members):
        yield subject.in_model(
            Code.COLLISION,
            f"{path!r} would stand {len(rivals)} times in the archive: from "
            + " and ".join(_source_name(source) for source in rivals),
            where="build",
            fix="rename one of the files",
        )


def _source_name(source: Source) -> str:
    match source:
        case ModelFile(path):
            return path
        case SourceArchive():
            return "system.extraFiles"
        case HandlerFile():
            return "the shared handler"
        case ManifestFile():
            return "the manifest"


def unused(subject: Subject) -> Iterator[Finding]:
    """Every file is packed, or plainly the author's own."""
    if subject.serving is None:
        return  # nobody knows what is packed
    files = subject.contribution.files
    archives = subject.serving.extra_files
    used = {*used_files(subject.members), *archives, MODEL_FILE}
    used |= {files[path].link_to for path in used if path in files}
    left = sorted(files.keys() - used)
    imported = set(_imported(subject)) - {""}
    forgotten = {path: top for path in left if (top := _module(path)) in imported}
    for top, first in _firsts(forgotten):
        yield subject.in_file(
            Code.UNUSED_FILE,
            f"{subject.spec.build.model_file} imports it, but it is not packed",
            path=first,
            fix=f"add {top} to build.extra_files",
        )
    idle = [path for path in left if path not in forgotten]
    tops = {path: path.partition("/")[0] for path in idle if not _is_the_authors(path)}
    for top, first in _firsts(tops):
        yield subject.in_file(
            Code.UNUSED_FILE,
            "nothing uses the file",
            path=first,
            fix=f"{_how_to_pack(top)}, move it to training/, or delete it",
        )


def _how_to_pack(path: str) -> str:
    if path == "requirements.txt":
        return f"write `requirements_file: {path}` below build"
    return f"add {path} to build.extra_files"


def _firsts(tops: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give each entry of the directory once, with the first of its paths."""
    seen: set[str] = set()
    for path, top in tops.items():
        if top not in seen:
            seen.add(top)
            yield path.partition("/")[0], path


def _module(path: str) -> str:
    """Name the module that a file at the top, or its directory, would be."""
    top, _, inner = path.partition("/")
    return top if inner else top.removesuffix(".py") if top.endswith(".py") else ""


def _imported(subject: Subject) -> Iterator[str]:
    """Yield the first part of each module name that the model file imports."""
    if isinstance(subject.syntax, Exception):
        return
    for node in ast.walk(subject.syntax):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _is_the_authors(path: str) -> bool:
    *folders, name = path.split("/")
    return (
        any(part.startswith(".") for part in (*folders, name))
        or not _AUTHORS_FOLDERS.isdisjoint(folders)
        or name.lower().endswith(_AUTHORS_ENDINGS)
        or name.lower().partition(".")[0] in _AUTHORS_FILES
        or not below(path, [path])
    )
