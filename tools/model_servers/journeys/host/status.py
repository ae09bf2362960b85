"""Say how a host is, with and without its store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from model_servers.core.canonical import canonical_json
from model_servers.core.host import HostState
from model_servers.core.names import Ref, Version
from model_servers.core.profile import WantedModel
from model_servers.core.status import HostStatus, status_of, status_without_store
from model_servers.errors import ModelServersError, OutsideError
from model_servers.journeys.host.acting import why_wrong
from model_servers.journeys.host.planning import Planning
from model_servers.journeys.host.sync import Sync


@dataclass(frozen=True, kw_only=True)
class Status:
    """Looks at a host; changes nothing but its readiness file."""

    planning: Planning

    @property
    def sync(self) -> Sync:
        """The sync journey of the host."""
        return self.planning.sync

    def run(self, models: Mapping[str, WantedModel], *, ask: bool) -> HostStatus:
        """Say how the host is.

        Args:
            models: of the profile.
            ask: have every default answer its golden requests now, and write or
                take away the readiness file accordingly.

        Raises:
            OutsideError: TorchServe does not answer; the host is not ready.
        """
        try:
            status = self._status(models, ask=ask)
        except OutsideError:
            if ask:
                self.sync.diary.memory.show_ready(None)
            raise
        if ask:
            self._show(status)
        return status

    def refresh(self) -> None:
        """Ask what the host serves, and write or take away the readiness file."""
        memory = self.sync.diary.memory
        try:
            observed = self.sync.observe()
        except OutsideError:
            memory.show_ready(None)
            return
        wrong = dict(self._wrong(observed))
        self._show(status_without_store("", observed, memory.read(), wrong))

    def _show(self, status: HostStatus) -> None:
        served = {one.name: one.serves for one in status.models}
        report = canonical_json({"models": served}).decode()
        self.sync.diary.memory.show_ready(report if status.is_healthy else None)

    def _status(self, models: Mapping[str, WantedModel], *, ask: bool) -> HostStatus:
        observed = self.sync.observe()
        wrong = dict(self._wrong(observed)) if ask else {}
        memory = self.sync.diary.memory.read()
        try:
            wanted = self.sync.resolved(models).desired
            desired, _ = self.planning.admitted(wanted, observed, allow=())
        except OutsideError as error:
            return status_without_store(str(error), observed, memory, wrong)
        plan = self.sync.plan_from(observed, desired)
        policy = self.sync.policy
        return status_of(plan, observed, memory, wrong, policy=policy)

    def _wrong(self, observed: HostState) -> Iterator[tuple[str, str]]:
        """Ask every default of ours, and yield the models that answer wrongly."""
        for name in sorted(observed.managed()):
            for one in observed.served[name]:
                if one.is_default and one.is_ready:
                    yield name, self._why_wrong(name, one.version)

    def _why_wrong(self, name: str, version: str) -> str:
        try:
            ref = Ref(name, Version.parse(version))
            return why_wrong(ref, self.sync.acting.verdicts(ref))
        except (ModelServersError, ValueError) as error:
            return str(error)
