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
    fetch: bool = True,
) -> list[Finding]:
    """Give everything that is wrong with these models, by file and place.

    Args:
        registry: where the models are.
        names: which of them.
        today: as ``YYYY-MM-DD``, for exceptions that expire; without it none has.
        fetch: have a look at weights that are elsewhere; without it, what is
            declared of them counts, for whoever fetches them anyway.
        released: names of models that hosts may know, though the registry does not.
    """
    others = rules.by_look({*registry.names(), *released})
    return [
        finding
        for name in names
        for finding in _of_model(
            registry, name, others=others, today=today, fetch=fetch
        )
    ]


def _of_model(
    registry: Registry,
    name: str,
    *,
    others: Mapping[str, Collection[str]],
    today: str,
    fetch: bool,
) -> list[Finding]:
    contribution = registry.read(name)

    def digest(path: str) -> str:
        if fetch:
            return registry.digests(name, path).sha256
        return registry.sha256(name, path)

    found = rules.check(
        contribution,
        digest,
        others=others,
    )
    return presentable(excepted(found, contribution, today=today))
