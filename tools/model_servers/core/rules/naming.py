"""Rules about the model's name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from model_servers.core.findings import Code, Finding
from model_servers.core.names import like_a_name, why_not_a_name
from model_servers.core.rules.subject import Subject


def name(subject: Subject) -> Iterator[Finding]:
    """The name can be used everywhere, and is the directory's."""
    found, directory = subject.spec.name, subject.contribution.name
    reason = why_not_a_name(found)
    if reason is not None:
        near = like_a_name(found)
        such = f", such as {near}" if near else ""
        yield subject.in_model(
            Code.NAME,
            f"{found!r} cannot name a model: {reason}",
            where="name",
            fix=f"choose another name{such}, and rename the directory to it",
        )
    if found != directory:
        is_name = why_not_a_name(directory) is None
        yield subject.in_model(
            Code.NAME,
            f"name is {found!r}, but the directory is {directory!r}",
            where="name",
            fix=f"write `name: {directory}` or rename the directory"
            if is_name
            else "rename the directory",
        )


def twin(subject: Subject) -> Iterator[Finding]:
    """No other model's name is taken for this one."""
    own = subject.contribution.name
    for other in sorted(set(subject.others.get(_looks_like(own), ())) - {own}):
        yield subject.in_model(
            Code.TWIN,
            f"{own!r} is easily taken for the model {other!r}",
            where="name",
            fix="choose a name that nobody takes for the other's",
        )


def by_look(names: Iterable[str]) -> dict[str, list[str]]:
    """Sort names into those that are taken for each other.

    >>> by_look(["my-net", "My_Net", "other"])
    {'my_net': ['my-net', 'My_Net'], 'other': ['other']}
    """
    looks: dict[str, list[str]] = {}
    for one in names:
        looks.setdefault(_looks_like(one), []).append(one)
    return looks


def _looks_like(text: str) -> str:
    return text.lower().replace("-", "_")
