"""``ms yank``, ``ms deprecate``: what is said of released versions."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from model_servers.cli import flags, wire
from model_servers.cli.watch import say
from model_servers.core.channels import channels_of
from model_servers.core.lifecycle import LIFECYCLE_FILE, Notice, State
from model_servers.core.names import Version
from model_servers.core.presentation import visible
from model_servers.errors import ExitStatus, RefusedError, RequestError
from model_servers.journeys.lifecycle import Noted, record

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands, Parser
    from model_servers.cli.settings import Settings
    from model_servers.core.contribution import Contribution


def add_yank(commands: Commands) -> None:
    """Add the arguments of ``ms yank``."""
    command = flags.command(
        commands,
        "yank",
        yank,
        "write into lifecycle.yaml that a version must not be used; nothing is deleted",
    )
    flags.model(command)
    command.add_argument("version", metavar="VERSION", help="a released version")
    _add_notice(command)


def add_deprecate(commands: Commands) -> None:
    """Add the arguments of ``ms deprecate``."""
    command = flags.command(
        commands,
        "deprecate",
        deprecate,
        "write into lifecycle.yaml that there is something better than a version",
    )
    flags.model(command)
    command.add_argument(
        "version",
        metavar="VERSION",
        nargs="?",
        help="a released version; every one in the store if none is given",
    )
    _add_notice(command)


def _add_notice(command: Parser) -> None:
    command.add_argument(
        "--reason",
        metavar="TEXT",
        required=True,
        help="one sentence for those who run the model",
    )
    command.add_argument("--replacement", metavar="VERSION", help="what to use instead")
    flags.registry(command)
    flags.store(command)


def yank(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Say that a version must not be used, in the checkout."""
    return _note(options, settings, State.YANKED)


def deprecate(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Say that there is something better than a version, in the checkout."""
    return _note(options, settings, State.DEPRECATED)


def _note(options: argparse.Namespace, settings: Settings, state: State) -> ExitStatus:
    name = options.model
    model = wire.registry(settings).read(name)
    replacement = _version(options.replacement) if options.replacement else None
    versions = _versions(options, settings, replacement)
    notice = Notice(
        state=state,
        reason=options.reason,
        # Days begin and end in UTC, so that everybody writes the same.
        date=datetime.now(timezone.utc).date().isoformat(),
        replacement=replacement,
    )
    changed = record(
        wire.model_texts(settings),
        name,
        dict.fromkeys(versions, notice),
        is_new=LIFECYCLE_FILE not in model.files,
    )
    for version in versions:
        what = f"is {state.value}" if version in changed else "stays as it was"
        print(f"{name}@{version} {what}")
    for channel, version in _channels_at(model, versions) if notice.is_yanked else ():
        say(f"note: the channel {channel} points to {version}")
        say(f"hint: ms promote {name} VERSION {channel}")
    say("hint: ms channels publish tells it to hosts, once this is on main")
    return ExitStatus.DONE


def _versions(
    options: argparse.Namespace, settings: Settings, replacement: Version | None
) -> list[Version]:
    """Give the versions that are meant; all that are released if none is named."""
    named = [_version(options.version)] if options.version else []
    if replacement in named:
        raise RequestError(
            f"{replacement} cannot replace itself",
            hint="name another version with --replacement",
        )
    if settings.store is None:
        if not named:
            raise RequestError(
                "nobody knows what is released without a store",
                hint="name a version, or add --store",
            )
        say("note: without --store nobody knows whether it is released")
        return named
    at = wire.store(settings.store, endpoint_url=settings.endpoint_url, is_new=False)
    released = wire.releases(at).versions(options.model)
    wanted = named or [one for one in released if one != replacement]
    asked = [*wanted, *([] if replacement is None else [replacement])]
    unknown = [f"{options.model}@{one}" for one in asked if one not in released]
    if unknown or not wanted:
        raise RefusedError(
            f"{', '.join(unknown) or options.model} is not released in {at.address}",
            hint=f"released: {', '.join(map(str, released)) or 'nothing'}",
        )
    return wanted


def _version(text: str) -> Version:
    try:
        return Version.parse(text)
    except ValueError as error:
        raise RequestError(str(error), hint="such as 1.0.0") from error


def _channels_at(
    model: Contribution, versions: Sequence[Version]
) -> list[tuple[str, Version]]:
    channels = {} if model.channels is None else channels_of(model.channels.data)
    return [(name, at) for name, at in channels.items() if at in versions]


def noted_text(noted: Sequence[Noted]) -> str:
    """Write what is said anew of versions: a line each."""
    return "\n".join(
        f"  {one.ref} is {visible(str(one.after))}"
        if one.after is not None
        else f"  {one.ref} has no notice any more"
        for one in noted
    )


def noted_mapping(noted: Iterable[Noted]) -> list[dict[str, Any]]:
    """Give what is said anew of versions as JSON values."""
    return [
        {
            "ref": str(one.ref),
            "before": one.before and one.before.to_mapping(),
            "after": one.after and one.after.to_mapping(),
        }
        for one in noted
    ]
