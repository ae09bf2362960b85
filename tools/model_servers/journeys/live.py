"""Keep one model served while its files change; whatever happens, one answers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import count

from model_servers.core.names import Ref, Version
from model_servers.journeys.build import Build
from model_servers.journeys.workbench import Workbench, as_version

_DRAIN_LIMIT_S = 10.0
_DRAIN_S = 0.5
"""For requests that a worker has already taken, which TorchServe does not count."""

_POLL_S = 0.1


@dataclass(kw_only=True)
class Live:
    """One model on a workbench, and which of its versions answers."""

    bench: Workbench
    ref: Ref
    inputs_digest: str
    """Of the files that are served."""

    _numbers: count[int] = field(default_factory=lambda: count(1))

    @classmethod
    def start(cls, bench: Workbench, build: Build, name: str) -> Live:
        """Serve a model under its own version.

        Raises:
            OutsideError: it cannot be loaded.
        """
        recipe = build.recipe(name)
        ref = bench.load(build, recipe)
        return cls(bench=bench, ref=ref, inputs_digest=recipe.inputs_digest)

    def reload(self, build: Build) -> bool:
        """Serve the model as it is now, beside the old one until it is ready.

        It takes a scratch version: TorchServe knows two of a model only by their
        versions, and an edit does not raise the model's own.

        Args:
            build: one that has not read the model before the edit.

        Returns:
            False if the edit changes nothing that is served.

        Raises:
            OutsideError: it cannot be loaded; the old one answers as before.
        """
        recipe = build.recipe(self.ref.name)
        if recipe.inputs_digest == self.inputs_digest:
            return False
        old, new = self.ref, self.bench.load(build, as_version(recipe, self._scratch()))
        self.bench.server.set_default(new)
        self.ref, self.inputs_digest = new, recipe.inputs_digest
        self._drain(old)
        self.bench.remove(old)
        return True

    def _scratch(self) -> Version:
        version = Version.parse(f"0.0.{next(self._numbers)}")
        return self._scratch() if version == self.ref.version else version

    def _drain(self, old: Ref) -> None:
        """Let the old one answer what it was asked; those who wait too long lose."""
        deadline = time.monotonic() + _DRAIN_LIMIT_S
        while (
            self.bench.loading.described(old).pending_requests
            and time.monotonic() < deadline
        ):
            time.sleep(_POLL_S)
        time.sleep(_DRAIN_S)
