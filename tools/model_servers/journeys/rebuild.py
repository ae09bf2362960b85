"""Build a released archive again, and say whether and why it came out differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from model_servers.core.release import Archive, Release
from model_servers.core.versions import Content, Difference
from model_servers.errors import RefusedError, RequestError
from model_servers.journeys.build import Build, Built

_HANDLER = "handler_sha256"
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """An archive that was built again, beside the one that is released."""

    built: Built
    release: Release
    differences: tuple[str, ...]
    """Why the bytes are not the same; empty if they are."""


def rebuild(build: Build, release: Release, folder: Path) -> Rebuilt:
    """Build the archive of a release again.

    Args:
        build: of the models as they were when it was released.
        release: what is in the store.
        folder: where the archive is written to.

    Raises:
        RequestError: the model cannot be built from what is there.
        RefusedError: what is there is another version.
    """
    contribution = build.registry.read(release.ref.name)
    if contribution.model is None or contribution.config is None:
        raise RequestError(
            f"{release.ref} cannot be built any more: {contribution.findings[0]}",
            hint=f"install the model-servers of then: {_version(release.toolchain)}",
        )
    recipe = build.recipe(release.ref.name)
    if recipe.spec.ref != release.ref:
        raise RefusedError(
            f"the model is {recipe.spec.ref} there, and {release.ref} is wanted",
            hint="run ms in the registry from which it was released",
        )
    built = build.write(recipe, folder)
    differences = tuple(
        _differences(
            release,
            built.archive,
            inputs_digest=recipe.inputs_digest,
            toolchain=build.writer.toolchain(),
        )
    )
    return Rebuilt(built=built, release=release, differences=differences)


def _differences(
    release: Release,
    archive: Archive,
    *,
    inputs_digest: str,
    toolchain: Mapping[str, str],
) -> Iterator[str]:
    """Yield why an archive is not the released one, in the order of causes."""
    if archive.sha256 == release.archive.sha256:
        return
    now = Content.of_archive(release.ref, archive, inputs_digest=inputs_digest)
    members = Difference(now=now, then=Content.of_release(release))
    inputs = [change.path for change in members.inputs]
    handler = [change.path for change in members.handler]
    if inputs or inputs_digest != release.inputs_digest:
        yield f"inputs: {_named(inputs) or 'how they are put together'}"
    if handler or toolchain.get(_HANDLER) != release.toolchain.get(_HANDLER):
        yield f"handler: {_pair(release.toolchain, toolchain, _HANDLER)}"
        yield from (f"handler: {path}" for path in handler[:_NAMED])
    for key in sorted({*toolchain, *release.toolchain} - {_HANDLER}):
        if toolchain.get(key) != release.toolchain.get(key):
            yield f"toolchain: {key} {_pair(release.toolchain, toolchain, key)}"
    if not inputs and not handler:
        yield "toolchain: the same members are written in another way"


def _pair(then: Mapping[str, str], now: Mapping[str, str], key: str) -> str:
    def short(text: str | None) -> str:
        return "unknown" if text is None else text[:12]

    return f"{short(then.get(key))} was released, {short(now.get(key))} is here"


def _named(paths: list[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(paths[:_NAMED]) + more


def _version(toolchain: Mapping[str, str]) -> str:
    return toolchain.get("model_servers", "nobody knows which")
