"""``ms sync watch``: the same sync, again and again."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import flags, wire
from model_servers.cli.host.planned import tell_refused
from model_servers.cli.watch import say, watcher
from model_servers.core.watching import Outcome, Round, Tally, metrics_text
from model_servers.errors import ExitStatus, ModelServersError, RefusedError
from model_servers.interruption import stop_on_signals
from model_servers.journeys.host.status import Status
from model_servers.journeys.host.watch import Watch

if TYPE_CHECKING:
    from model_servers.cli.flags import Commands
    from model_servers.cli.settings import Settings

_INTERVAL_S = 60.0


def add(group: Commands) -> None:
    """Add its arguments."""
    command = flags.command(
        group,
        "watch",
        watch,
        "sync this host again and again, until it is told to stop",
    )
    command.add_argument(
        "--interval",
        type=_seconds,
        default=_INTERVAL_S,
        metavar="SECONDS",
        help="between syncs, a little more or less on each host (%(default).0f)",
    )
    command.add_argument(
        "--metrics-file",
        type=Path,
        metavar="FILE",
        help="for Prometheus' text file collector, replaced after every sync",
    )
    command.add_argument(
        "--metrics-port",
        type=_port,
        metavar="N",
        help="of 127.0.0.1, for Prometheus to ask for /metrics",
    )
    flags.allowances(command)
    flags.profile(command)
    flags.store(command)


def watch(options: argparse.Namespace, settings: Settings) -> ExitStatus:
    """Sync until SIGTERM or Ctrl-C; a second one cuts off what is at work."""
    state = _State()
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        if options.metrics_port is not None:
            stack.enter_context(wire.metrics_port(options.metrics_port, state.text))
        Watch(
            round=partial(_round, options, settings, stop.is_wanted),
            stopped=stop.wait,
            publish=partial(_publish, state, options.metrics_file),
            chance=random.random,
            interval_s=options.interval,
        ).run()
    say("ms: stopped; what was at work is done")
    return ExitStatus.DONE


class _State:
    """What the metrics port tells."""

    def __init__(self) -> None:
        self.tally = Tally()

    def text(self) -> str:
        return metrics_text(self.tally)


def _round(
    options: argparse.Namespace, settings: Settings, is_stopping: Callable[[], bool]
) -> Round:
    """Sync once; what is wrong is told, and tried again in the next round."""
    try:
        return _synced(options, settings, is_stopping)
    except RefusedError as error:
        return _ended(Outcome.REFUSED, error)
    except ModelServersError as error:
        return _ended(Outcome.FAILED, error)


def _synced(
    options: argparse.Namespace, settings: Settings, is_stopping: Callable[[], bool]
) -> Round:
    # Read in every round: an edited profile counts from the next one on.
    profile = wire.profile(settings)
    sync = wire.sync(settings, profile)
    planning = wire.planning(profile, sync)
    with ExitStack() as stack:
        try:
            stack.enter_context(wire.model_store(profile).locked())
        except RefusedError as error:
            return _ended(Outcome.BUSY, error)
        console = stack.enter_context(watcher())
        found = planning.run(profile.models, allow=flags.allowed(options))
        refused = found.plan.refused()
        result = Round(
            outcome=Outcome.REFUSED if refused else Outcome.DONE,
            pending=len(found.plan.pending()),
            refused=len(refused),
        )
        try:
            sync.apply(
                found.plan,
                found.resolved,
                console,
                goes_on=lambda: not is_stopping(),
            )
        except ModelServersError as error:
            # What failed was told already, and stopped nothing else.
            result = replace(result, outcome=Outcome.FAILED, message=str(error))
        Status(planning=planning).refresh()
    tell_refused(found.plan)
    return replace(result, served=sync.server.served())


def _ended(outcome: Outcome, error: ModelServersError) -> Round:
    say(f"ms: {error}")
    if error.hint:
        say(f"hint: {error.hint}")
    return Round(outcome=outcome, message=str(error))


def _publish(state: _State, file: Path | None, tally: Tally) -> None:
    state.tally = tally
    if file is None:
        return
    try:
        wire.write_metrics(file, metrics_text(tally))
    except ModelServersError as error:
        say(f"ms: {error}")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 1 <= (seconds := float(text)) <= 86_400:
            return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and 86400")


def _port(text: str) -> int:
    port = flags.whole(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not between 0 and 65535")
    return port
