"""Tries models the whole way: a store, a TorchServe and a host of our own.

Nothing here is a short cut: models are built, published, planned, applied and
asked by the journeys that a release and a host use. What is kept in the work
folder (released archives, unpacked trees, installed requirements) makes a second
run quick.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import dataclass
from typing import Any

from model_servers.cli import render, wire
from model_servers.cli.settings import Settings
from model_servers.cli.watch import ConsoleWatcher, say, watcher
from model_servers.core.canonical import sha256_of
from model_servers.core.host import Desired
from model_servers.core.names import LATEST
from model_servers.core.profile import HostProfile
from model_servers.errors import OutsideError
from model_servers.journeys.build import Recipe
from model_servers.journeys.publish import Publish
from model_servers.journeys.sync import Verdict


@dataclass(frozen=True, kw_only=True)
class Row:
    """How one model did."""

    name: str
    version: str
    archive_bytes: int
    ready_s: float | None
    """From its registration to all workers ready; None if that never came."""

    verdicts: tuple[Verdict, ...]
    error: str = ""
    hint: str = ""

    @property
    def verdict(self) -> str:
        """``reproduces``, or the first thing that is wrong."""
        return self.error or f"reproduces {len(self.verdicts)}"


@dataclass(frozen=True)
class Report:
    """How every model did."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Every model answered every golden case rightly."""
        return not any(row.error for row in self.rows)

    def to_text(self) -> str:
        """Write a table, and below it what went wrong."""
        header = ["model", "version", "size", "ready after", "verdict", "answer"]
        rows = [
            [
                row.name,
                row.version,
                render.size(row.archive_bytes),
                "-" if row.ready_s is None else f"{row.ready_s:.1f} s",
                "FAILED" if row.error else row.verdict,
                _first_answer(row.verdicts),
            ]
            for row in self.rows
        ]
        wrong = [
            f"{row.name}: {row.error}\n    fix: {row.hint}"
            for row in self.rows
            if row.error
        ]
        return "\n".join([render.table([header, *rows]), *wrong])

    def to_mapping(self) -> list[dict[str, Any]]:
        """Give the report as JSON values."""
        return [
            {
                "name": row.name,
                "version": row.version,
                "archive_bytes": row.archive_bytes,
                "ready_s": row.ready_s,
                "error": row.error or None,
                "fix": row.hint or None,
                "golden": [
                    {
                        "case": verdict.case,
                        "differences": list(verdict.differences),
                        "latency_ms": round(verdict.latency_ms, 3),
                    }
                    for verdict in row.verdicts
                ],
            }
            for row in self.rows
        ]


def run(names: list[str], options: argparse.Namespace, settings: Settings) -> Report:
    """Publish *names* into a store of our own and serve them from there."""
    with watcher() as console:
        publish, recipes = _published(names, settings, console)
        model_store = settings.work / "host" / "model_store"
        model_store.mkdir(parents=True, exist_ok=True)
        with wire.torchserve(
            model_store,
            logs=settings.work / "host" / "logs",
            port=options.port,
            system_java=options.system_java,
        ) as addresses:
            say(f"TorchServe listens at {addresses.inference}")
            profile = HostProfile(
                models=dict.fromkeys(names, LATEST),
                store=publish.store.address,
                model_store=str(model_store),
                management=addresses.management,
                inference=addresses.inference,
                python=sys.executable,
            )
            desired = _served(profile, settings, console)
        return Report(tuple(_row(recipe, desired, console) for recipe in recipes))


def _published(
    names: list[str], settings: Settings, console: ConsoleWatcher
) -> tuple[Publish, list[Recipe]]:
    """Release *names* into a store that is theirs alone.

    A model under work changes without raising its version, so other inputs get
    another store; the one before it is of no use any more.
    """
    build = wire.build(settings)
    recipes = [build.recipe(name) for name in names]
    inputs = [recipe.inputs_digest for recipe in recipes]
    key = sha256_of([*inputs, dict(build.writer.toolchain())])[:12]
    stores = settings.work / "stores"
    for other in stores.glob("*") if stores.is_dir() else ():
        if other.name != key:
            shutil.rmtree(other)
    at = wire.store((stores / key).as_uri(), endpoint_url=None)
    publish = wire.publish(settings, at)
    plan = publish.run(recipes, console)
    say(f"{at.address}: {len(plan.new)} released, {len(plan.unchanged)} unchanged")
    return publish, recipes


def _served(
    profile: HostProfile, settings: Settings, console: ConsoleWatcher
) -> Desired:
    """Plan and apply; a model that fails is in the watcher's failures."""
    sync = wire.sync(settings, profile)
    with wire.model_store(profile).locked():
        desired = sync.desired(profile.models)
        plan = sync.plan(desired)
        say(render.plan_text(plan, server=sync.server.address))
        try:
            sync.apply(plan, desired, console)
        except OutsideError:
            return desired  # each failure was shown, and is in the report
        asked = {verdict.ref.name for verdict in console.verdicts}
        for release in desired.values():
            if release.ref.name not in asked:
                sync.probe(release.ref, console)
        return desired


def _row(recipe: Recipe, desired: Desired, console: ConsoleWatcher) -> Row:
    name = recipe.spec.name
    error = console.failures.get(name)
    return Row(
        name=name,
        version=str(recipe.spec.version),
        archive_bytes=desired[name].archive.size_bytes,
        ready_s=console.ready_s.get(name),
        verdicts=tuple(one for one in console.verdicts if one.ref.name == name),
        error="" if error is None else str(error),
        hint="" if error is None else error.hint,
    )


def _first_answer(verdicts: tuple[Verdict, ...]) -> str:
    if not verdicts:
        return "-"
    answer = " ".join(verdicts[0].answer.split())
    return answer if len(answer) <= 48 else f"{answer[:47]}…"
