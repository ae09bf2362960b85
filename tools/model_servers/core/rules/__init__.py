"""Rules about meaning: each looks at a contribution and yields findings.

Shape (types, required and unknown keys) is the schemas' business. A new rule is a
function in the file of its theme, and a line in ``RULES``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType

from model_servers.core.contribution import Contribution
from model_servers.core.findings import Finding
from model_servers.core.rules import (
    files,
    golden,
    naming,
    packages,
    serving,
    settings,
    sources,
    weights,
)
from model_servers.core.rules.golden import is_case
from model_servers.core.rules.naming import by_look
from model_servers.core.rules.subject import Rule, Subject
from model_servers.core.spec import ModelSpec

__all__ = ["RULES", "Rule", "Subject", "by_look", "check", "is_case"]

RULES: tuple[Rule, ...] = (
    naming.name,
    naming.twin,
    files.paths,
    files.links,
    files.collisions,
    files.unused,
    sources.handler,
    sources.shadowed,
    packages.requirements,
    weights.checkpoint,
    weights.large,
    golden.cases,
    golden.requests,
    golden.recorded,
    serving.extra_files,
    serving.timeouts,
    serving.batch_delay,
    serving.client_timeout,
    serving.gpu_memory,
    settings.handler_options,
    settings.contradictions,
)

_NONE: Mapping[str, Collection[str]] = MappingProxyType({})


def check(
    contribution: Contribution,
    digest: Callable[[str], str],
    *,
    others: Mapping[str, Collection[str]] = _NONE,
) -> list[Finding]:
    """Give every finding about a contribution, those of reading included.

    Args:
        contribution: the model's directory as read.
        digest: gives the sha256 of one of its files.
        others: names of all models by how they look (:func:`by_look`), of which
            its name must be different.
    """
    return sorted(_all(contribution, digest, others), key=lambda one: one.order)


def _all(
    contribution: Contribution,
    digest: Callable[[str], str],
    others: Mapping[str, Collection[str]],
) -> Iterator[Finding]:
    yield from contribution.findings
    if contribution.model is None:
        return
    subject = Subject(
        contribution=contribution,
        model=contribution.model,
        spec=ModelSpec.from_mapping(contribution.model.data),
        digest=digest,
        others=others,
    )
    for rule in RULES:
        yield from rule(subject)
