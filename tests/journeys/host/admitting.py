"""A host to which models come that take memory of GPUs, and its plans."""

from __future__ import annotations

from dataclasses import replace

from fakes.host import Models, Probe
from fakes.small_host import Host
from model_servers.core.admission import Admission
from model_servers.core.changes import Plan
from model_servers.core.guards import Override
from model_servers.core.names import Ref
from model_servers.core.profile import WantedModel

CAT_1, CAT_2, DOG = map(Ref.parse, ["cat@1.0.0", "cat@2.0.0", "dog@1.0.0"])


def hungry(host: Host) -> Host:
    """Release models that take 1000 + 600 MiB each."""
    for ref in (CAT_1, CAT_2, DOG):
        host.publish(ref, config={"system": {"maxGPUMemory": 1000}})
    return host


def admit(
    host: Host, models: Models, *allow: Override, probe: Probe | None = None
) -> tuple[Plan, Admission]:
    """Plan as `ms sync plan` does."""
    planning = host.planning
    if probe is not None:
        planning = replace(planning, admit=replace(planning.admit, probe=probe))
    wanted = {name: WantedModel.of(one) for name, one in models.items()}
    found = planning.run(wanted, allow=set(allow))
    return found.plan, found.admission


def serve(host: Host, ref: Ref, **overlay: object) -> list[int]:
    """Let a host serve a version; give the ids of its workers."""
    host.install(ref, **overlay)
    host.model_store.mark_answered(ref)
    host.register(ref)
    return [pid for one in host.server.describe(ref.name) for pid in one.pids]
