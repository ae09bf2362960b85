"""Rules about meaning: each looks at a contribution and yields findings.

Shape (types, required and unknown keys) is the schemas' business.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Callable, Iterator

from model_servers.core.config_rules import check_config
from model_servers.core.contribution import MODEL_FILE, Contribution, Document
from model_servers.core.findings import Code, Finding
from model_servers.core.layout import (
    SOURCE_ARCHIVE_ENDINGS,
    HandlerFile,
    ManifestFile,
    ModelFile,
    Source,
    SourceArchive,
    below,
    collisions,
    makes_source_archive,
    plan_members,
    used_files,
)
from model_servers.core.names import why_not_a_name
from model_servers.core.spec import ModelSpec, Serving

BROUGHT_BY_THE_HOST = ("torch", "torchvision", "torchaudio", "torchserve")
"""The guide: requirements exclude torch, torchvision and torchaudio."""

_REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check(contribution: Contribution, digest: Callable[[str], str]) -> list[Finding]:
    """Give every finding about a contribution, those of reading included.

    Args:
        contribution: the model's directory as read.
        digest: gives the sha256 of one of its files.
    """
    return sorted(_all(contribution, digest), key=lambda finding: finding.order)


def _all(contribution: Contribution, digest: Callable[[str], str]) -> Iterator[Finding]:
    yield from contribution.findings
    if contribution.model is None:
        return
    spec = ModelSpec.from_mapping(contribution.model.data)
    yield from _name(contribution, contribution.model, spec)
    yield from _paths(contribution, contribution.model, spec)
    yield from _handler(contribution, spec)
    yield from _requirements(contribution, spec)
    yield from _checkpoint(contribution, contribution.model, spec, digest)
    yield from _golden(contribution, contribution.model, spec)
    if contribution.config is not None:
        serving = Serving.from_mapping(contribution.config.data)
        yield from check_config(contribution, contribution.config)
        yield from _extra_files(contribution, contribution.config, spec, serving)
        yield from _members(contribution, contribution.model, spec, serving)


def _name(
    contribution: Contribution, model: Document, spec: ModelSpec
) -> Iterator[Finding]:
    reason = why_not_a_name(spec.name)
    if reason is not None:
        yield contribution.finding(
            Code.NAME,
            f"{spec.name!r} cannot name a model: {reason}",
            document=model,
            where="name",
            fix="choose another name, and rename the directory to it",
        )
    if spec.name != contribution.name:
        yield contribution.finding(
            Code.NAME,
            f"name is {spec.name!r}, but the directory is {contribution.name!r}",
            document=model,
            where="name",
            fix=f"write `name: {contribution.name}` or rename the directory",
        )


def _paths(
    contribution: Contribution, model: Document, spec: ModelSpec
) -> Iterator[Finding]:
    for where, path in [*spec.build.named_files(), ("golden", spec.golden)]:
        plain = posixpath.normpath(path)
        if _leaves(plain):
            yield contribution.finding(
                Code.OUTSIDE_MODEL,
                f"{path!r} leaves the model's directory",
                document=model,
                where=where,
                fix=f"copy the file into {contribution.root}/ and name it here",
            )
        elif plain != path:
            yield contribution.finding(
                Code.SHAPE,
                f"found the path {path!r}, expected {plain!r}",
                document=model,
                where=where,
                fix=f"write {plain}",
            )
        elif where != "golden" and not below(path, contribution.files):
            yield contribution.finding(
                Code.MISSING_FILE,
                f"{path!r} does not exist in {contribution.root}",
                document=model,
                where=where,
                fix="add the file, or correct the path",
            )


def _leaves(plain: str) -> bool:
    return plain.startswith(("/", "../")) or plain in {"..", "."}


def _members(
    contribution: Contribution, model: Document, spec: ModelSpec, serving: Serving
) -> Iterator[Finding]:
    members = plan_members(spec, serving, contribution.files)
    for path in used_files(members):
        if contribution.files.get(path) and contribution.files[path].leaves_model:
            yield contribution.finding(
                Code.OUTSIDE_MODEL,
                "the file is a link to a directory, or out of the model's directory",
                document=path,
                fix="replace the link by a copy",
            )
    for path, sources in collisions(members):
        yield contribution.finding(
            Code.COLLISION,
            f"{path!r} would stand {len(sources)} times in the archive: from "
            + " and ".join(_source_name(source) for source in sources),
            document=model,
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


def _handler(contribution: Contribution, spec: ModelSpec) -> Iterator[Finding]:
    if contribution.model_source is None:
        return
    try:
        tree = ast.parse(contribution.model_source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        yield Finding(
            path=f"{contribution.root}/{spec.build.model_file}",
            line=line,
            code=Code.NO_HANDLER,
            message="the model file is not Python: "
            + (str(getattr(error, "msg", error)) or "it is nested too deeply"),
            fix="correct the syntax",
        )
        return
    if not any(_calls_factory(node) for node in ast.walk(tree)):
        yield contribution.finding(
            Code.NO_HANDLER,
            "the model file never calls handler_factory",
            document=spec.build.model_file,
            fix="end it with `handler = handler_factory(init_function=init_function)`",
        )


def _calls_factory(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "id", getattr(node.func, "attr", None))
    return name == "handler_factory"


def _requirements(contribution: Contribution, spec: ModelSpec) -> Iterator[Finding]:
    text = contribution.requirements or ""
    for number, line in enumerate(text.splitlines(), start=1):
        match = _REQUIREMENT_NAME.match(line.strip())
        name = match and match.group().lower().replace("_", "-")
        if name in BROUGHT_BY_THE_HOST:
            yield Finding(
                path=f"{contribution.root}/{spec.build.requirements_file}",
                line=number,
                code=Code.REQUIREMENTS,
                message=f"{name} is brought by the serving environment",
                fix="remove the line",
            )


def _checkpoint(
    contribution: Contribution,
    model: Document,
    spec: ModelSpec,
    digest: Callable[[str], str],
) -> Iterator[Finding]:
    path, declared = spec.build.checkpoint_file, spec.checkpoint
    if declared is None or path is None or path not in contribution.files:
        return
    size_bytes = contribution.files[path].size_bytes
    if size_bytes != declared.size_bytes:
        yield contribution.finding(
            Code.CHECKPOINT,
            f"{path!r} has {size_bytes} bytes, model.yaml declares "
            f"{declared.size_bytes}",
            document=model,
            where="checkpoint.size",
            fix="restore the checkpoint, or declare its size",
        )
    elif digest(path) != declared.sha256:
        yield contribution.finding(
            Code.CHECKPOINT,
            f"{path!r} has sha256 {digest(path)}, model.yaml declares "
            f"{declared.sha256}",
            document=model,
            where="checkpoint.sha256",
            fix="restore the checkpoint, or declare its sha256",
        )


def _golden(
    contribution: Contribution, model: Document, spec: ModelSpec
) -> Iterator[Finding]:
    golden = posixpath.normpath(spec.golden)
    files = below(golden, contribution.files)
    for path in files:
        if path.endswith(".yaml") and not is_case(path, golden):
            yield contribution.finding(
                Code.GOLDEN,
                f"the case is not directly in {golden!r}, so nobody asks it",
                document=path,
                fix=f"move it to {contribution.root}/{golden}/",
            )
    if not any(is_case(path, golden) for path in files):
        yield contribution.finding(
            Code.GOLDEN,
            f"there is no golden case in {golden!r}",
            document=model,
            where="golden" if "golden" in model.data else "",
            fix=f"record a request and its answer in {golden}/<case>.yaml",
        )
    for case in contribution.golden:
        file = case.data["request"].get("file")
        if file is None:
            continue
        path = posixpath.join(posixpath.dirname(case.path), file)
        if path not in contribution.files:
            yield contribution.finding(
                Code.GOLDEN,
                f"{file!r} does not stand beside the case",
                document=case,
                where="request.file",
                fix=f"add {contribution.root}/{path}, or correct the name",
            )


def is_case(path: str, golden: str) -> bool:
    """Say whether a file is a case of the golden directory *golden*."""
    return path.endswith(".yaml") and posixpath.dirname(path) == golden


def _extra_files(
    contribution: Contribution, config: Document, spec: ModelSpec, serving: Serving
) -> Iterator[Finding]:
    listed, archives = spec.build.extra_files, serving.extra_files
    if archives and not listed:
        yield contribution.finding(
            Code.EXTRA_FILES,
            f"system.extraFiles is {', '.join(archives)!r}, but build.extra_files "
            "lists nothing",
            document=config,
            where="system.extraFiles",
            fix=f"list the files of the archive in build.extra_files of {MODEL_FILE}",
        )
        return
    made = [
        archive
        for archive in archives
        if makes_source_archive(listed, archive, contribution.files)
    ]
    for archive in archives:
        if archive not in made and archive not in listed:
            yield contribution.finding(
                Code.EXTRA_FILES,
                f"{archive!r} exists, but build.extra_files does not list it",
                document=config,
                where="system.extraFiles",
                fix=f"list {archive} in build.extra_files, or delete it to have it "
                "built",
            )
    for archive in made:
        if not archive.endswith(SOURCE_ARCHIVE_ENDINGS):
            yield contribution.finding(
                Code.EXTRA_FILES,
                f"the build cannot make {archive!r}; it makes "
                + ", ".join(SOURCE_ARCHIVE_ENDINGS),
                document=config,
                where="system.extraFiles",
                fix=f"add {archive} to the directory, or name a .tar.gz",
            )
    if len(made) > 1:
        yield contribution.finding(
            Code.EXTRA_FILES,
            f"{', '.join(made)} do not exist; the build makes at most one archive",
            document=config,
            where="system.extraFiles",
            fix="name one archive for build.extra_files, or add the others",
        )
