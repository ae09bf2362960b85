"""Rules about the requirements file, line by line as pip reads it."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from model_servers.core.findings import Code, Finding
from model_servers.core.layout import unpacked
from model_servers.core.rules.subject import Subject

BROUGHT_BY_THE_HOST = ("torch", "torchvision", "torchaudio", "torchserve")
"""The guide: requirements exclude torch, torchvision and torchaudio."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PIN = re.compile(r"===?\s*[^\s,*=<>!~]+\s*$")
_ADDRESS = re.compile(r"(?P<named>[^\s@]+\s*@\s*)?(?:[a-z]+\+)?[a-z]+://(?P<rest>\S*)")
_DIGEST = re.compile(r"sha256=[0-9a-f]{64}|@[0-9a-f]{40}(?![0-9a-f])")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_OPTIONS = re.compile(r"\s--(?:hash|config-settings|global-option)\b.*")
_EDITABLE = re.compile(r"(?:-e|--editable)\b")
_INCLUDED = re.compile(r"(?:-r|--requirement|-c|--constraint)[\s=]*(\S+)")
_PASSWORD = re.compile(r"://(?!git@|\$\{)[^/\s@]+@")
_LOCAL = re.compile(r"(?:\S+\s*@\s*)?(?:file:|\.{0,2}/)")


@dataclass(frozen=True)
class _Line:
    """One requirement or option, whose lines have been joined."""

    number: int
    text: str


def requirements(subject: Subject) -> Iterator[Finding]:
    """Each line names a package and its exact version, and does nothing else."""
    packed = {path for member in subject.members for path in unpacked(member)}
    for line in _lines(subject.contribution.requirements or ""):
        problem = _refused(line.text, packed)
        found = _NAME.match(line.text)
        name = found.group().lower().replace("_", "-") if found else ""
        if problem is not None:
            yield _finding(subject, line, Code.REQUIREMENT_OPTION, *problem)
        elif name in BROUGHT_BY_THE_HOST:
            message = f"{name} is brought by the serving environment"
            yield _finding(subject, line, Code.REQUIREMENTS, message, "remove the line")
        elif name and is_pinned(line.text):
            continue
        elif _ADDRESS.match(line.text):
            message = "the address may have something else tomorrow"
            fix = "name a released package, or add @COMMIT or #sha256=DIGEST, in full"
            yield _finding(subject, line, Code.UNPINNED, message, fix)
        elif name:
            message = f"{name} has no exact version"
            fix = f"write {name}==VERSION, or let `ms lock {subject.spec.name}` do it"
            yield _finding(subject, line, Code.UNPINNED, message, fix)


def names_of(text: str) -> tuple[str, ...]:
    """List the packages that a requirements file names."""
    found = (_NAME.match(line.text) for line in _lines(text) if _is_named(line.text))
    return tuple(match.group() for match in found if match)


def _is_named(line: str) -> bool:
    address = _ADDRESS.match(line)
    return address is None or address["named"] is not None


def _lines(text: str) -> Iterator[_Line]:
    parts: list[str] = []
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        parts.append(raw.removesuffix("\\"))
        if raw.endswith("\\"):
            continue
        plain = _COMMENT.sub("", "".join(parts)).strip()
        if plain:
            yield _Line(number - len(parts) + 1, plain)
        parts = []


def _refused(line: str, packed: set[str]) -> tuple[str, str] | None:
    """Say what is wrong with what a line does, and how to mend it."""
    if _PASSWORD.search(line):
        return "the URL holds a name or a password", "configure it on the host"
    if _EDITABLE.match(line):
        return "an editable install needs a source tree", "name a released package"
    included = _INCLUDED.match(line)
    if included and posixpath.normpath(included.group(1)) not in packed:
        return (
            f"{included.group(1)!r} is not packed into the archive",
            "list it in build.extra_files, or write its lines here",
        )
    if _LOCAL.match(line):
        return "a local path is not there on a host", "name a released package"
    return None


def is_pinned(line: str) -> bool:
    """Say whether a requirement without comment names a version or exact bytes."""
    address = _ADDRESS.match(line)
    if address is not None:
        return _DIGEST.search(address["rest"]) is not None
    return _PIN.search(_OPTIONS.sub("", line).partition(";")[0]) is not None


def _finding(
    subject: Subject, line: _Line, code: Code, message: str, fix: str
) -> Finding:
    path = subject.spec.build.requirements_file or ""
    return subject.in_file(code, message, path=path, line=line.number, fix=fix)
