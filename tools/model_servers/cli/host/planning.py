"""Plans what a host is to do, as its GPUs allow it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

from model_servers.cli import flags, wire
from model_servers.core.admission import Admission
from model_servers.core.changes import Plan
from model_servers.core.guards import Override
from model_servers.core.profile import HostProfile
from model_servers.journeys.host.resolve import Resolved
from model_servers.journeys.host.sync import Sync


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan with what it was made of."""

    plan: Plan
    resolved: Resolved
    admission: Admission


def planned(options: argparse.Namespace, profile: HostProfile, sync: Sync) -> Planned:
    """Look at the store, the server and the GPUs, and say what applying would do."""
    allow = flags.allowed(options)
    resolved = sync.resolved(profile.models, allow=allow)
    observed = sync.observe()
    desired, admission = wire.admit(profile, sync.store).run(
        resolved.desired, observed, allow_downtime=Override.DOWNTIME in allow
    )
    return Planned(
        plan=sync.plan(desired, observed=observed, allow=allow),
        resolved=replace(resolved, desired=desired),
        admission=admission,
    )
