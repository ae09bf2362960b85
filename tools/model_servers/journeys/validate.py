"""Validate contributions: all findings of all models in one run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from model_servers.core import rules
from model_servers.core.exceptions import excepted
from model_servers.core.findings import Finding
from model_servers.core.presentation import presentable
from model_servers.ports import Registry


def validate(
    registry: Registry,
    names: Iterable[str],
    *,
    today: str = "",
    released: Iterable[str] = (),
) -> list[Finding]:
    """Give everything that is wrong with these models, by file and place.

    Args:
        registry: where the models are.
        names: which of them.
        today: as ``YYYY-MM-DD``, for exceptions that expire; without it none has.
        released: names of models that hosts may know, though the registry does not.
    """
    others = rules.by_look({*registry.names(), *released})
    return [
        finding
        for name in names
        for finding in _of_model(registry, name, others=others, today=today)
    ]


def _of_model(
    registry: Registry, name: str, *, others: Mapping[str, Collection[str]], today: str
) -> list[Finding]:
    contribution = registry.read(name)
    found = rules.check(
        contribution,
        lambda path: registry.digests(name, path).sha256,
        others=others,
    )
    return presentable(excepted(found, contribution, today=today))
