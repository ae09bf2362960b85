"""Plans what a host is to do, as its GPUs allow it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from model_servers.cli import wire
from model_servers.cli.settings import Settings
from model_servers.core.admission import Admission
from model_servers.core.host import Desired
from model_servers.core.plan import Plan
from model_servers.core.profile import HostProfile
from model_servers.errors import RefusedError
from model_servers.journeys.admission import admitted
from model_servers.journeys.sync import Sync


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan with what it was made of."""

    plan: Plan
    desired: Desired
    admission: Admission

    def check_refused(self) -> None:
        """End as refused if a model was, once the others are done.

        Raises:
            RefusedError: it names the models, and how to go on with the first.
        """
        refused = self.admission.refused
        if refused:
            raise RefusedError(
                "; ".join(f"{name}: {one.reason}" for name, one in refused.items()),
                hint=next(iter(refused.values())).hint,
            )


def planned(
    options: argparse.Namespace, settings: Settings, profile: HostProfile, sync: Sync
) -> Planned:
    """Look at the store, the server and the GPUs, and say what applying would do."""
    desired = sync.desired(profile.models)
    plan = sync.plan(desired, allow_empty=options.allow_empty)
    admission = wire.admit(settings, profile).run(
        plan, desired, sync.observe, allow_downtime=options.allow_downtime
    )
    return Planned(plan=admitted(plan, admission), desired=desired, admission=admission)
