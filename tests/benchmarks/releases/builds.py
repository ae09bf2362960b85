"""Builds of one large checkpoint, beside the official archiver."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch

import zoo
from benchmarks.releases.measured import MS, Run, best, run

_SHA256_TWICE = """\
import hashlib, sys
for _ in range(2):
    digest = hashlib.sha256()
    with open(sys.argv[1], "rb") as stream:
        while chunk := stream.read(2**22):
            digest.update(chunk)
"""


def registry_of(folder: Path, checkpoint: Path, *, version: str, code: str) -> Path:
    """Write a registry of one model, ``big``."""
    registry = folder / "registry"
    # Else the new file would be written into the checkpoint that is linked there.
    shutil.rmtree(registry, ignore_errors=True)
    directory = zoo.make_model(
        registry, "big", version=version, files={"handler_model.py": code}
    )
    (directory / "checkpoint.pt").unlink()
    (directory / "checkpoint.pt").hardlink_to(checkpoint)
    return registry


def save_noise(path: Path, size_bytes: int) -> None:
    """Save tensors of noise, which no compression makes smaller."""
    count = 20
    tensors = {f"layer{i}": torch.randn(size_bytes // count // 4) for i in range(count)}
    torch.save(tensors, path)


def measure(folder: Path, checkpoint: Path, *, rounds: int) -> dict[str, Run]:
    """Build the same model in every way."""
    registry = registry_of(folder, checkpoint, version="1.0", code=zoo.HANDLER)
    out, digests = folder / "out", folder / ".work"

    def afresh() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()

    def forgetful() -> None:
        afresh()
        shutil.rmtree(digests, ignore_errors=True)

    def ours() -> Run:
        flags = ["build", "big", "--registry", str(registry), "-o", str(out)]
        return run([*MS, *flags], cwd=folder)

    def official(*flags: str) -> Run:
        directory = registry / "big"
        return run(
            [
                *(sys.executable, "-m", "model_archiver.model_packaging"),
                *("--model-name", "big", "--version", "1.0", "--export-path", str(out)),
                *("--handler", str(directory / "handler_model.py")),
                *("--serialized-file", str(directory / "checkpoint.pt"), *flags),
            ],
            cwd=folder,
            environment={"TMPDIR": str(out)},
        )

    return {
        "ms build": best(rounds, ours, before=forgetful),
        "ms build, digests known": best(rounds, ours, before=afresh),
        "torch-model-archiver --archive-format zip-store": best(
            rounds, lambda: official("--archive-format", "zip-store"), before=afresh
        ),
        "torch-model-archiver": best(1, official, before=afresh),
        "two sha256 of it, which a build has to make": best(
            rounds, lambda: _sha256_twice(folder, checkpoint), before=afresh
        ),
    }


def _sha256_twice(folder: Path, checkpoint: Path) -> Run:
    return run([sys.executable, "-c", _SHA256_TWICE, str(checkpoint)], cwd=folder)
