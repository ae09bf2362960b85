"""Shows plans to whoever agrees to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from model_servers.cli.host import report
from model_servers.cli.host.gpus import admission_mapping, admission_text
from model_servers.cli.watch import say
from model_servers.errors import ExitStatus

if TYPE_CHECKING:
    from model_servers.core.changes import Plan
    from model_servers.journeys.host.planning import Planned

_FORMS = {"text": report.plan_text, "markdown": report.plan_markdown}


def show(found: Planned, *, server: str, form: str) -> None:
    """Write a plan, and what it does to the GPUs.

    Args:
        found: the plan.
        server: the address of what it is for.
        form: ``text``, ``markdown`` or ``json``.
    """
    notices = found.resolved.notices
    if form == "json":
        mapping = report.plan_mapping(found.plan, notices=notices)
        mapping["gpus"] = admission_mapping(found.admission)
        mapping["crowded"] = dict(found.admission.crowded)
        print(json.dumps(mapping, indent=2), flush=True)
        return
    about_gpus = admission_text(found.admission)
    if about_gpus:
        print(f"```\n{about_gpus}\n```\n" if form == "markdown" else f"{about_gpus}\n")
    print(_FORMS[form](found.plan, server=server, notices=notices), flush=True)


def tell_refused(found: Plan) -> ExitStatus:
    """Say on the side which models stay as they are, and what to do about it."""
    for change in found.refused():
        say(f"ms: {change.name} stays as it is: {change.reason}")
        if change.hint:
            say(f"hint: {change.hint}")
    return ExitStatus.REFUSED
