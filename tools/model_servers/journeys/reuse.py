"""Finds the bytes of a new archive that its store holds already."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice

from model_servers.core.names import Ref
from model_servers.core.objects import Copied, Part
from model_servers.core.release import Archive, Release
from model_servers.core.reuse import (
    Run,
    checkpoint_key,
    heads,
    holdings,
    known_runs,
    plan_parts,
    wanted_members,
    whole_file,
)
from model_servers.errors import OutsideError
from model_servers.ports import Content, Releases, Store

_RELEASES_LOOKED_AT = 8


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
    with_heads = {
        run: run.extended(head)
        for run, head in heads(runs)
        if _is_same_head(run, head, content, store)
    }
    return plan_parts(archive.size_bytes, [with_heads.get(run, run) for run in runs])


def _held(release: Release, store: Store, releases: Releases) -> dict[str, Copied]:
    """Look for large members in earlier releases, then among the checkpoints."""
    held: dict[str, Copied] = {}
    versions = reversed(releases.versions(release.ref.name))
    for version in islice(versions, _RELEASES_LOOKED_AT):
        earlier = releases.find(Ref(release.ref.name, version))
        if earlier is not None:
            held = {**holdings(earlier.key, earlier.archive.members), **held}
        if not wanted_members(release.archive, held):
            return held
    return {**held, **_checkpoints(release.archive, held, store)}


def _checkpoints(
    archive: Archive, held: dict[str, Copied], store: Store
) -> dict[str, Copied]:
    found = {
        sha256: (key, store.stat(key))
        for sha256 in wanted_members(archive, held)
        for key in [checkpoint_key(sha256)]
    }
    return {
        sha256: Copied(key, 0, stored.size_bytes)
        for sha256, (key, stored) in found.items()
        if stored is not None
    }


def _is_same_head(run: Run, head: int, content: Content, store: Store) -> bool:
    """Compare what stands before a run here and there.

    Where the other archive is damaged or gone, copying it fails too, and then
    everything is sent.
    """
    source = run.source
    here = content.read(run.offset - head, head)
    with suppress(OutsideError):
        return here == store.read_range(source.key, source.offset - head, head)
    return False
