"""Archives that others have made, released as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from model_servers.core.canonical import sha256_of
from model_servers.core.names import Ref
from model_servers.core.release import Archive, Release
from model_servers.core.spec import Serving


@dataclass(frozen=True, kw_only=True)
class GivenArchive:
    """An archive as found: its bytes are not ours to change."""

    archive: Archive
    manifest: Mapping[str, Any]
    """TorchServe's."""

    config: Mapping[str, Any]
    """The model config that the manifest names; empty if it names none."""


def release_of(given: GivenArchive) -> Release:
    """Describe a given archive as the release it would be.

    Its inputs are its bytes: nobody knows from what it was made.

    Raises:
        ValueError: the manifest's name or version cannot be one of a release.
    """
    model = given.manifest.get("model")
    model = model if isinstance(model, Mapping) else {}
    ref = Ref.parse(f"{model.get('modelName')}@{model.get('modelVersion')}")
    archive = given.archive
    return Release(
        ref=ref,
        archive=archive,
        inputs_digest=sha256_of(
            {
                "name": ref.name,
                "version": str(ref.version),
                "archive": archive.sha256,
            }
        ),
        git_commit=None,
        toolchain={"archiver": str(given.manifest.get("archiverVersion", "unknown"))},
        resources=Serving.from_mapping(given.config).resources(),
    )
