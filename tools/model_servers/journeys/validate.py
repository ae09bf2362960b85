"""Validate contributions: all findings of all models in one run."""

from __future__ import annotations

from collections.abc import Iterable

from model_servers.core import rules
from model_servers.core.findings import Finding
from model_servers.ports import Registry


def validate(registry: Registry, names: Iterable[str]) -> list[Finding]:
    """Give everything that is wrong with these models, by file and place."""
    return [
        finding
        for name in names
        for finding in rules.check(
            registry.read(name),
            lambda path, name=name: registry.digests(name, path).sha256,  # type: ignore[misc]
        )
    ]
