"""What documents and releases tell about a model, in a catalogue's words."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from model_servers.core.layout import HANDLER_FILES
from model_servers.core.lifecycle import Notice
from model_servers.core.names import Version
from model_servers.core.presentation import visible
from model_servers.core.release import Release, ReleasedMember
from model_servers.core.site.pages import Part, VersionRow
from model_servers.core.site.words import needs
from model_servers.core.spec import ModelSpec, Serving
from model_servers.core.verdicts import Passed

_PARTS = 8
"""More parts of an archive tell nobody more."""

_FRAMEWORKS = {
    "onnxruntime": "ONNX Runtime",
    "onnxruntime-gpu": "ONNX Runtime",
    "tensorflow": "TensorFlow",
    "scikit-learn": "scikit-learn",
    "xgboost": "XGBoost",
    "lightgbm": "LightGBM",
    "transformers": "PyTorch, Transformers",
}
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)", re.MULTILINE)


def framework(requirements: str | None) -> str:
    """Tell what computes: PyTorch, unless the requirements name something else."""
    names = _REQUIREMENT.findall(requirements or "")
    known = (_FRAMEWORKS.get(name.lower().replace("_", "-")) for name in names)
    return next(filter(None, known), "PyTorch")


def settings(spec: ModelSpec, serving: Serving) -> tuple[tuple[str, str], ...]:
    """Tell the settings that a caller or an operator may want to know."""
    told: dict[str, object | None] = {
        "Weights": spec.build.checkpoint_file,
        "Batch": serving.batch_size and f"up to {serving.batch_size} requests",
        "Waits for a batch": _unit(serving.max_batch_delay_ms, "ms"),
        "Answers within": _unit(serving.response_timeout_s, "s"),
        "Workers": serving.min_workers,
        "GPU memory": _unit(serving.gpu_memory_mib, "MiB"),
    }
    return tuple(
        (name, visible(str(value))) for name, value in told.items() if value is not None
    )


def _unit(value: int | None, unit: str) -> str | None:
    return None if value is None else f"{value:,} {unit}"


def version_rows(
    releases: Iterable[Release],
    *,
    dates: Mapping[str, str],
    channels: Mapping[Version, Sequence[str]],
    notices: Mapping[Version, Notice],
) -> tuple[VersionRow, ...]:
    """Tell the releases of one model, the newest first.

    Args:
        releases: of the model, in any order.
        dates: of commits.
        channels: that point to a version.
        notices: what is said of versions.
    """
    in_order = sorted(releases, key=lambda release: release.ref.version)
    if not in_order:
        return ()
    newest = in_order[-1].ref
    rows = [
        VersionRow(
            version=release.ref.version,
            date=dates.get(release.git_commit or ""),
            archive_sha256=release.archive.sha256,
            size_bytes=release.archive.size_bytes,
            moved_bytes=moved_bytes(release, before),
            git_commit=release.git_commit,
            channels=tuple(sorted(channels.get(release.ref.version, ()))),
            notice=notices.get(release.ref.version),
            needs=needs(release.resources),
            parts=parts(release, before) if release.ref == newest else (),
            tested=tested(release),
        )
        for before, release in pairwise([None, *in_order])
        if release is not None
    ]
    return tuple(rows[::-1])


def moved_bytes(release: Release, before: Release | None) -> int:
    """Say how many bytes a host fetches that has the version before and no other."""
    known = _pieces(before.archive.members) if before else {}
    pieces = _pieces(release.archive.members)
    return sum(size for digest, size in pieces.items() if digest not in known)


def parts(release: Release, before: Release | None) -> tuple[Part, ...]:
    """Tell what an archive consists of, the largest first; small rests together."""
    known = _pieces(before.archive.members) if before else {}
    members = release.archive.members
    handler = [one for one in members if one.path in HANDLER_FILES]
    found = [
        Part(
            label=visible(member.path),
            size_bytes=member.length,
            is_new=any(digest not in known for digest in _pieces([member])),
        )
        for member in members
        if member.path not in HANDLER_FILES
    ]
    found.sort(key=lambda part: (-part.size_bytes, part.label))
    shown, rest = found[:_PARTS], found[_PARTS:]
    if rest:
        shown.append(_together(f"{len(rest)} other files", rest))
    if handler:
        shared = [
            Part(label="", size_bytes=one.length, is_new=one.sha256 not in known)
            for one in handler
        ]
        shown.append(_together("the shared handler", shared))
    return tuple(shown)


def _together(label: str, some: Sequence[Part]) -> Part:
    return Part(
        label=label,
        size_bytes=sum(one.size_bytes for one in some),
        is_new=any(one.is_new for one in some),
    )


def _pieces(members: Iterable[ReleasedMember]) -> dict[str, int]:
    """Give the sizes of what is moved on its own, by digest."""
    return {
        piece.blake3: piece.length for member in members for piece in member.segments
    }


def tested(release: Release) -> tuple[Passed, ...]:
    """Give what a release tells of its tests, with names that can be shown."""
    return tuple(
        replace(
            test,
            golden=tuple(replace(one, case=visible(one.case)) for one in test.golden),
        )
        for test in release.tested
    )


def card_path(files: Iterable[str]) -> str | None:
    """Find the model card among the files of a directory."""
    names = {file.lower(): file for file in files if not posixpath.dirname(file)}
    return names.get("readme.md")
