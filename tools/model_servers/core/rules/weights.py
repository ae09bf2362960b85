"""Rules about the checkpoint and other large files."""

from __future__ import annotations

from collections.abc import Iterator

from model_servers.core.findings import Code, Finding
from model_servers.core.layout import used_files
from model_servers.core.rules.subject import Subject

_LARGE_BYTES = 10 * 2**20


def checkpoint(subject: Subject) -> Iterator[Finding]:
    """The checkpoint is the one that ``model.yaml`` declares."""
    path, declared = subject.spec.build.checkpoint_file, subject.spec.checkpoint
    facts = subject.contribution.files.get(path or "")
    if declared is None or path is None or facts is None or not facts.is_readable:
        return
    if facts.size_bytes != declared.size_bytes:
        yield subject.in_model(
            Code.CHECKPOINT,
            f"{path!r} has {facts.size_bytes} bytes, model.yaml declares "
            f"{declared.size_bytes}",
            where="checkpoint.size",
            fix="restore the checkpoint, or declare its size",
        )
    elif subject.digest(path) != declared.sha256:
        yield subject.in_model(
            Code.CHECKPOINT,
            f"{path!r} has sha256 {subject.digest(path)}, model.yaml declares "
            f"{declared.sha256}",
            where="checkpoint.sha256",
            fix="restore the checkpoint, or declare its sha256",
        )


def large(subject: Subject) -> Iterator[Finding]:
    """Large files are declared, so that they can live outside git."""
    weights = subject.spec.build.checkpoint_file
    for path in used_files(subject.members):
        facts = subject.contribution.files.get(path)
        is_declared = path == weights and subject.spec.checkpoint is not None
        if facts is None or facts.size_bytes <= _LARGE_BYTES or is_declared:
            continue
        yield subject.in_file(
            Code.LARGE_FILE,
            f"the file has {facts.size_bytes / 2**20:.0f} MiB, and git keeps it for "
            "ever",
            path=path,
            fix=f"declare it below checkpoint: with `ms lock {subject.spec.name}`"
            if path == weights
            else "let the author's functions fetch it, or make it smaller",
        )
