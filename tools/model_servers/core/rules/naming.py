"""Rules about the model's name."""

from __future__ import annotations

from collections.abc import Iterator

from model_servers.core.findings import Code, Finding
from model_servers.core.names import why_not_a_name
from model_servers.core.rules.subject import Subject


def name(subject: Subject) -> Iterator[Finding]:
    """The name can be used everywhere, and is the directory's."""
    found, directory = subject.spec.name, subject.contribution.name
    reason = why_not_a_name(found)
    if reason is not None:
        yield subject.in_model(
            Code.NAME,
            f"{found!r} cannot name a model: {reason}",
            where="name",
            fix="choose another name, and rename the directory to it",
        )
    if found != directory:
        yield subject.in_model(
            Code.NAME,
            f"name is {found!r}, but the directory is {directory!r}",
            where="name",
            fix=f"write `name: {directory}` or rename the directory",
        )


def twin(subject: Subject) -> Iterator[Finding]:
    """No other model's name is taken for this one."""
    own = subject.contribution.name
    look = _looks_like(own)
    twins = [
        other
        for other in subject.others
        # Most names differ in length, which is told much faster.
        if len(other) == len(own) and other != own and _looks_like(other) == look
    ]
    for other in sorted(twins):
        yield subject.in_model(
            Code.TWIN,
            f"{own!r} is easily taken for the model {other!r}",
            where="name",
            fix="choose a name that nobody takes for the other's",
        )


def _looks_like(text: str) -> str:
    return text.lower().replace("-", "_")
