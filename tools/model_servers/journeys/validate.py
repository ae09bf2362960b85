"""Validate contributions: all findings of all models in one run."""

from __future__ import annotations

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from functools import partial

from model_servers.core import rules
from model_servers.core.exceptions import excepted
from model_servers.core.findings import Finding
from model_servers.core.presentation import presentable, visible
from model_servers.core.probe import (
    Loaded,
    NotChecked,
    ProbeOrder,
    ProbeReport,
    findings_of,
)
from model_servers.interruption import Threads
from model_servers.ports import HandlerProbe, Registry


@dataclass(frozen=True, kw_only=True)
class Probing:
    """That models' code is imported too, in processes of their own."""

    probe: HandlerProbe
    processes: int
    """At most so many at once."""

    not_checked: Callable[[str], None]
    """Told, in one line, of a model whose code could not be tried here."""


def validate(
    registry: Registry,
    names: Iterable[str],
    *,
    today: str = "",
    released: Iterable[str] = (),
    fetch: bool = True,
    probing: Probing | None = None,
) -> list[Finding]:
    """Give everything that is wrong with these models, by file and place.

    Args:
        registry: where the models are.
        names: which of them.
        today: as ``YYYY-MM-DD``, for exceptions that expire; without it none has.
        fetch: have a look at weights that are elsewhere; without it, what is
            declared of them counts, for whoever fetches them anyway.
        released: names of models that hosts may know, though the registry does not.
        probing: how to import the code of models that are otherwise right; None
            imports nothing.
    """
    others = rules.by_look({*registry.names(), *released})
    names = list(names)
    found = [
        _of_model(registry, name, others=others, today=today, fetch=fetch)
        for name in names
    ]
    if probing is not None:
        sound = [
            name
            for name, findings in zip(names, found, strict=True)
            if not any(one.is_error for one in findings)
        ]
        probed = _probed(registry, sound, probing)
        found = [
            [*findings, *probed.get(name, ())]
            for name, findings in zip(names, found, strict=True)
        ]
    return [finding for findings in found for finding in findings]


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
        checkpoint=lambda path: registry.checkpoint(name, path, fetch=fetch),
    )
    return presentable(excepted(found, contribution, today=today))


def _probed(
    registry: Registry, names: Sequence[str], probing: Probing
) -> dict[str, list[Finding]]:
    """Give what importing each model's code finds, in the models' order."""
    with Threads(max(1, probing.processes)) as pool:
        try:
            reports = list(pool.map(partial(_report, registry, probing), names))
        except BaseException:  # Ctrl-C, too: nothing may go on running
            probing.probe.stop()
            raise
    for note in _notes(dict(zip(names, reports, strict=True))):
        probing.not_checked(note)
    return {
        name: presentable(findings_of(report, registry.read(name)))
        for name, report in zip(names, reports, strict=True)
        if not isinstance(report, Loaded | NotChecked)
    }


def _notes(reports: Mapping[str, ProbeReport]) -> Iterator[str]:
    """Say what could not be tried, once for each reason."""
    names: dict[str, list[str]] = {}
    for name, report in reports.items():
        if isinstance(report, NotChecked):
            names.setdefault(report.reason, []).append(name)
    for reason, which in names.items():
        more = f" and {len(which) - 3} more" if len(which) > 3 else ""
        code = "its code is" if len(which) == 1 else "their code is"
        shown = visible(reason)[:300]
        yield f"{', '.join(which[:3])}{more}: {code} not checked: {shown}"


def _report(registry: Registry, probing: Probing, name: str) -> ProbeReport:
    order = ProbeOrder.of(registry.read(name))
    if order is None:
        return NotChecked("its documents cannot be read")
    return probing.probe.probe(order, locate=partial(registry.path, name))
