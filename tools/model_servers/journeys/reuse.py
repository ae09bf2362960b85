"""Finds the bytes of a new archive that its store holds already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import islice

from model_servers.core.names import Ref
from model_servers.core.objects import Part
from model_servers.core.release import Archive, Release
from model_servers.core.reuse import (
    Held,
    Holdings,
    Run,
    checkpoint_key,
    heads,
    holdings,
    joined,
    known_runs,
    plan_parts,
    wanted_members,
    whole_file,
)
from model_servers.core.segments import Run as Bytes
from model_servers.errors import OutsideError
from model_servers.journeys import parallel
from model_servers.ports import Content, Releases, Store

_RELEASES_LOOKED_AT = 8

_HEADS_MAX = 8192
"""More than the tensors of a checkpoint that have segments of their own."""


def parts_of(
    release: Release, content: Content, *, store: Store, releases: Releases
) -> list[Part]:
    """Say of which parts an archive is best made.

    Args:
        release: describes the archive.
        content: the archive.
        store: where to; bytes that it holds are copied.
        releases: those of the store.
    """
    archive = release.archive
    if not wanted_members(archive, {}):
        return whole_file(archive.size_bytes)
    held = _held(release, store, releases)
    runs = known_runs(archive, held)
    same = _same(islice(heads(runs), _HEADS_MAX), content, store)
    return plan_parts(archive.size_bytes, joined([*runs, *same]))


def _held(release: Release, store: Store, releases: Releases) -> Holdings:
    """Look for large members in earlier releases, then among the checkpoints."""
    held: dict[str, Sequence[Held]] = {}
    versions = reversed(releases.versions(release.ref.name))
    for version in islice(versions, _RELEASES_LOOKED_AT):
        earlier = releases.find(Ref(release.ref.name, version))
        if earlier is not None:
            held = {**holdings(earlier.key, earlier.archive.members), **held}
        if not wanted_members(release.archive, held):
            return held
    return {**held, **_checkpoints(release.archive, held, store)}


def _checkpoints(archive: Archive, held: Holdings, store: Store) -> Holdings:
    found = {
        sha256: (key, store.stat(key))
        for sha256 in wanted_members(archive, held)
        for key in [checkpoint_key(sha256)]
    }
    return {
        sha256: [Held(key, (Bytes(0, stored.size_bytes),))]
        for sha256, (key, stored) in found.items()
        if stored is not None
    }


def _same(candidates: Iterable[Run], content: Content, store: Store) -> list[Run]:
    """Pick the runs whose bytes are the same here and there.

    Where the other archive is damaged or gone, copying it fails too, and then
    everything is sent.
    """

    def is_same(run: Run) -> bool:
        source = run.source
        here = content.read(run.offset, source.length)
        return here == store.read_range(source.key, source.offset, source.length)

    candidates = list(candidates)
    with suppress(OutsideError):
        answers = parallel.each(is_same, candidates)
        return [run for run, same in zip(candidates, answers, strict=True) if same]
    return []
