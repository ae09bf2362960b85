"""Build an archive from files that are in no registry, as the guide's script does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from model_servers.core.findings import Code, Finding
from model_servers.journeys.build import Build, Built
from model_servers.journeys.validate import validate
from model_servers.ports import Registry

_ONLY_IN_A_REGISTRY = frozenset({Code.NAME, Code.TWIN, Code.GOLDEN})
"""What is asked of a directory below ``registry/`` and of nothing else."""

_FLAG = re.compile(r"\bbuild\.(\w+_files?\b)(?: of model\.yaml)?")
_ARCHIVE_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")


def findings(registry: Registry, name: str) -> list[Finding]:
    """Give what is wrong with the files of the one model of *registry*."""
    found = [
        finding
        for finding in validate(registry, [name])
        if finding.is_error and finding.code not in _ONLY_IN_A_REGISTRY
    ]
    found += _packed(registry, name)
    return [_as_given(finding, registry, name) for finding in found]


def write(build: Build, name: str, folder: Path) -> Built:
    """Write ``<name>.mar`` into *folder*, complete or not at all."""
    return build.write_to(build.recipe(name), folder / f"{name}.mar")


def _packed(registry: Registry, name: str) -> Iterator[Finding]:
    """Yield sources that are packed in an archive which nobody would unpack."""
    contribution = registry.read(name)
    if contribution.model is None or contribution.config is None:
        return
    listed = contribution.model.data["build"].get("extra_files", ())
    named = contribution.config.data.get("system", {}).get("extraFiles")
    if named is None and len(listed) == 1 and listed[0].endswith(_ARCHIVE_ENDINGS):
        yield contribution.finding(
            Code.EXTRA_FILES,
            f"--extra_files is {listed[0]}, but system.extraFiles does not name it, so "
            "the handler would not unpack it",
            document=contribution.config,
            fix=f'add `extraFiles: "{listed[0]}"` to the system: block',
        )


def _as_given(finding: Finding, registry: Registry, name: str) -> Finding:
    """Name a file by the path that was given, and what named it by its flag."""
    place = finding.path.removeprefix(f"{name}/")
    finding = replace(
        finding,
        where=_FLAG.sub(r"--\1", finding.where),
        message=_FLAG.sub(r"--\1", finding.message),
        fix=_FLAG.sub(r"--\1", finding.fix),
    )
    if place in registry.read(name).files:
        return replace(finding, path=str(registry.path(name, place)))
    return replace(finding, path="arguments") if place == "model.yaml" else finding
