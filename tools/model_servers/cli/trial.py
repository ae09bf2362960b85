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
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from model_servers.cli import expect, wire
from model_servers.cli.host import report
from model_servers.cli.trial_report import Report, Row
from model_servers.cli.watch import ConsoleWatcher, say, watcher
from model_servers.core.canonical import sha256_of
from model_servers.core.host import wanted_releases
from model_servers.core.memory import Memory
from model_servers.core.names import LATEST, Ref
from model_servers.core.profile import HostProfile, Policy, WantedModel
from model_servers.errors import OutsideError
from model_servers.journeys.loading import Loading
from model_servers.journeys.workbench import golden_cases

if TYPE_CHECKING:
    from model_servers.cli.settings import Settings
    from model_servers.core.release import Release
    from model_servers.journeys.build import Recipe
    from model_servers.journeys.publish import Publish


def run(names: list[str], options: argparse.Namespace, settings: Settings) -> Report:
    """Publish *names* into a store of our own and serve them from there."""
    with watcher() as console:
        publish, recipes = _published(names, settings, console)
        model_store = settings.work / "host" / "model_store"
        logs = settings.work / "host" / "logs"
        model_store.mkdir(parents=True, exist_ok=True)
        with wire.torchserve(
            model_store, logs=logs, port=options.port, system_java=options.system_java
        ) as addresses:
            say(f"TorchServe listens at {addresses.inference}")
            profile = HostProfile(
                models=dict.fromkeys(names, WantedModel(default=LATEST)),
                store=publish.store.address,
                model_store=str(model_store),
                management=addresses.management,
                inference=addresses.inference,
                python=sys.executable,
                # It is our own, and the models of the last run may be other ones.
                policy=Policy(max_removed_share=1.0),
            )
            releases = _served(profile, settings, console)
            loading = Loading(
                server=wire.server(addresses), entries=wire.model_store(profile)
            )
            return Report(
                tuple(
                    _row(recipe, releases, console, loading, settings, logs)
                    for recipe in recipes
                )
            )


def run_plain(
    names: list[str], options: argparse.Namespace, settings: Settings
) -> Report:
    """Have a TorchServe for each model load its archive as it is."""
    build = wire.build(settings)
    return Report(
        tuple(_plain_row(build.recipe(name), options, settings) for name in names)
    )


def _plain_row(recipe: Recipe, options: argparse.Namespace, settings: Settings) -> Row:
    """Try one archive; it has its TorchServe alone, for its packages are its own."""
    ref = recipe.spec.ref
    folder = settings.work / "mar" / ref.name
    shutil.rmtree(folder / "model_store", ignore_errors=True)
    build = expect.as_asked(wire.build(settings), options.expect)
    built = build.write(recipe, folder / "model_store")
    row = Row.of(
        recipe, built.archive.sha256, built.archive.size_bytes, folder / "logs"
    )
    try:
        packages = _packages(recipe, settings)
        with wire.torchserve(
            folder / "model_store",
            logs=folder / "logs",
            port=options.port,
            system_java=options.system_java,
            packages=packages,
        ) as addresses:
            loading = Loading(
                server=wire.server(addresses, ending=".mar"),
                entries=wire.plain_archive(recipe.serving, addresses),
            )
            load_s = loading.load(ref)
            say(f"{ref}: loaded as an archive in {load_s:.1f} s")
            return _examined(row, recipe, loading, settings, load_s)
    except OutsideError as error:
        return row.failed(error)


def _packages(recipe: Recipe, settings: Settings) -> Path | None:
    """Install a model's requirements where a stock TorchServe finds them."""
    requirements = recipe.spec.build.requirements_file
    if requirements is None:
        return None
    name = recipe.spec.name
    say(
        f"note: {name}: {requirements} is installed as on a host, and stands on"
        " TorchServe's PYTHONPATH; TorchServe alone installs it only with"
        " install_py_dep_per_model=true"
    )
    file = wire.registry(settings).path(name, requirements)
    return wire.requirements(settings.work / "mar" / "requirements").installed(file)


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
) -> dict[Ref, Release]:
    """Plan and apply; a model that fails is in the watcher's failures."""
    sync = wire.sync(settings, profile)
    with wire.model_store(profile).locked():
        # What failed in an earlier trial is tried again.
        sync.diary.memory.write(Memory())
        resolved = sync.resolve.run(profile.models, Memory())
        releases = wanted_releases(resolved.desired)
        plan = sync.plan(resolved.desired)
        say(report.plan_text(plan, server=sync.server.address))
        try:
            sync.apply(plan, resolved, console)
        except OutsideError:
            if not console.failures:
                raise
            # Each failure was shown, and is in the report.
        return releases


def _row(
    recipe: Recipe,
    releases: Mapping[Ref, Release],
    console: ConsoleWatcher,
    loading: Loading,
    settings: Settings,
    logs: Path,
) -> Row:
    """Examine what sync has loaded, also if its golden answers were refused."""
    ref = recipe.spec.ref
    archive = releases[ref].archive
    row = Row.of(recipe, archive.sha256, archive.size_bytes, logs)
    error = console.failures.get(ref.name)
    load_s = console.ready_s.get(ref.name)
    if load_s is None:
        unknown = OutsideError(f"{ref} was not loaded", hint=f"read the logs in {logs}")
        return row.failed(error or unknown)
    try:
        if error is not None:
            load_s = loading.load(ref)
        return _examined(row, recipe, loading, settings, load_s)
    except OutsideError as reason:
        return row.failed(reason)


def _examined(
    row: Row, recipe: Recipe, loading: Loading, settings: Settings, load_s: float
) -> Row:
    ref = recipe.spec.ref
    cases = golden_cases(wire.registry(settings), ref.name)
    examine = wire.examine(loading.server)
    return row.examined(
        examine.run(ref, list(cases.values()), loading.described(ref), load_s)
    )
