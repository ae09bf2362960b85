"""Plans what a host is to do, as its GPUs allow it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from model_servers.core.admission import Admission
from model_servers.core.changes import Plan
from model_servers.core.guards import Override
from model_servers.core.host import Desired, HostState
from model_servers.core.plan import consented
from model_servers.core.profile import WantedModel
from model_servers.journeys.host.admission import Admit
from model_servers.journeys.host.resolve import Resolved
from model_servers.journeys.host.sync import Sync


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan with what it was made of."""

    plan: Plan
    resolved: Resolved
    admission: Admission


@dataclass(frozen=True, kw_only=True)
class Planning:
    """Planning on one host; nothing is touched."""

    sync: Sync
    admit: Admit

    def run(
        self, models: Mapping[str, WantedModel], *, allow: Collection[Override]
    ) -> Planned:
        """Look at the store, the server and the GPUs, and say what applying would do.

        Raises:
            RefusedError: the plan as a whole is likelier a mistake than a wish.
            OutsideError: the store or the server does not answer.
        """
        resolved = self.sync.resolved(models, allow=allow)
        observed = self.sync.observe()
        desired, admission = self.admitted(resolved.desired, observed, allow=allow)
        return Planned(
            plan=self.sync.plan(desired, observed=observed, allow=allow),
            resolved=replace(resolved, desired=desired),
            admission=admission,
        )

    def admitted(
        self, desired: Desired, observed: HostState, *, allow: Collection[Override]
    ) -> tuple[Desired, Admission]:
        """Refuse what nobody has agreed to, and what the GPUs have no room for."""
        may = self.sync.allows_downtime(allow)
        return self.admit.run(
            consented(desired, observed, allow_downtime=may),
            observed,
            allow_downtime=may,
        )
