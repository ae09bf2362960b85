"""What ``ms validate`` looks at, and with what it compares versions."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from model_servers.cli import wire
from model_servers.cli.watch import say
from model_servers.core.presentation import presentable
from model_servers.errors import OutsideError
from model_servers.journeys import versions
from model_servers.journeys.validate import validate as find

if TYPE_CHECKING:
    from model_servers.cli.settings import Settings
    from model_servers.core.findings import Finding
    from model_servers.ports import History


def checked(
    options: argparse.Namespace, settings: Settings, *, imports_code: bool
) -> tuple[list[str], list[Finding]]:
    """Give the models that are meant, and everything wrong, their versions too."""
    with ExitStack() as stack:
        past = None
        names = named(options.models, settings)
        if options.base:
            is_everything = options.all or bool(options.models)
            only = names if is_everything else []
            past = stack.enter_context(wire.history(settings, options.base, only))
            names = names if is_everything else past.changed()
            for name in past.deleted() if not is_everything else ():
                say(f"note: {name} was there {past.origin}, and is deleted")
        released = _released_names(settings) if names else ()
        findings = of_models(
            names, settings, imports_code=imports_code, released=released
        )
        wrong = {name for name in names if _has_errors(name, findings, settings)}
        sound = [name for name in names if name not in wrong]
        return names, findings + _of_versions(sound, settings, past)


def named(wanted: Collection[str], settings: Settings) -> list[str]:
    """Give the models asked for, or all."""
    return list(dict.fromkeys(wanted)) or wire.registry(settings).names()


def of_models(
    names: Collection[str],
    settings: Settings,
    *,
    imports_code: bool = False,
    fetch: bool = True,
    released: Collection[str] = (),
) -> list[Finding]:
    """Validate models, as of today; *released* are names that hosts may know."""
    # Days begin and end in UTC, so that a pull request and its author agree.
    today = datetime.now(timezone.utc).date().isoformat()
    if not names:
        return []
    return find(
        wire.registry(settings),
        names,
        today=today,
        fetch=fetch,
        released=released,
        probing=wire.probing(say) if imports_code else None,
    )


def _released_names(settings: Settings) -> Collection[str]:
    """Name what is released, as far as anybody can tell."""
    if settings.store is None:
        return ()
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url, is_new=False)
    try:
        index = wire.catalog(at).read()
    except OutsideError:
        return ()  # which the look at versions tells
    return {ref.name for ref in index.entries} if index is not None else ()


def _has_errors(name: str, findings: list[Finding], settings: Settings) -> bool:
    start = f"{settings.registry.name}/{name}"
    return any(
        finding.is_error and f"{finding.path}/".startswith(f"{start}/")
        for finding in findings
    )


def _of_versions(
    names: list[str], settings: Settings, past: History | None
) -> list[Finding]:
    """Compare versions with the store, or with where the branch began."""
    if settings.store is not None and names:
        at = wire.store(
            settings.store, endpoint_url=settings.endpoint_url, is_new=False
        )
        lookup = versions.in_store(wire.releases(at), address=at.address)
        try:
            return _found(names, settings, lookup)
        except OutsideError as error:
            instead = f"compared {past.origin}" if past else "not checked"
            say(f"note: versions are {instead}: {error}")
    if past is not None:
        lookup = versions.at_base(past, wire.build(settings).writer)
        return _found(names, settings, lookup)
    return []


def _found(
    names: list[str], settings: Settings, lookup: versions.Lookup
) -> list[Finding]:
    build = wire.build(settings)
    return [
        finding
        for name in names
        for finding in presentable(versions.version_finding(build, name, lookup))
    ]
