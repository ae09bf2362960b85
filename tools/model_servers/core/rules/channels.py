"""Rules about channels: where people let them point to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from model_servers.core.channels import channels_of
from model_servers.core.findings import Code, Finding
from model_servers.core.lifecycle import notices
from model_servers.core.names import Version
from model_servers.core.rules.subject import Subject


def ahead(subject: Subject) -> Iterator[Finding]:
    """No channel points above the version of ``model.yaml``."""
    newest = subject.spec.version

    def fault(version: Version) -> str | None:
        is_ahead = version.numbers > newest.numbers
        return f"but model.yaml has {newest}" if is_ahead else None

    return _faults(subject, Code.CHANNEL_AHEAD, fault)


def yanked(subject: Subject) -> Iterator[Finding]:
    """No channel points to a version that must not be used."""
    lifecycle = subject.contribution.lifecycle
    said = {} if lifecycle is None else notices(lifecycle.data)

    def fault(version: Version) -> str | None:
        notice = said.get(version)
        return f"which is {notice}" if notice and notice.is_yanked else None

    return _faults(subject, Code.CHANNEL_YANKED, fault)


def _faults(
    subject: Subject, code: Code, fault: Callable[[Version], str | None]
) -> Iterator[Finding]:
    contribution = subject.contribution
    document = contribution.channels
    if document is None:
        return
    for channel, version in channels_of(document.data).items():
        found = fault(version)
        if found is not None:
            yield contribution.finding(
                code,
                f"{channel} points to {version}, {found}",
                document=document,
                where=f"channels.{channel}",
                fix=f"let it point to another: `ms promote {contribution.name} VERSION "
                f"{channel}`",
            )
