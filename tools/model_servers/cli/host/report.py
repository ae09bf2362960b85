"""Plans, states and histories of hosts as text, Markdown and JSON values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from model_servers.cli.render import size, table
from model_servers.core.changes import (
    Action,
    Change,
    Drain,
    Install,
    Plan,
    Probe,
    Register,
    Revive,
    Scale,
    SetDefault,
    Soak,
    Unregister,
)
from model_servers.core.lifecycle import Notice
from model_servers.core.names import Ref
from model_servers.core.presentation import visible

if TYPE_CHECKING:
    from model_servers.core.host import HostState
    from model_servers.core.memory import Event, Failure
    from model_servers.core.status import HostStatus

Notices = Mapping[Ref, Notice]


def plan_text(plan: Plan, *, server: str, notices: Notices | None = None) -> str:
    """Write a plan: a line per model, a line per action below it."""
    lines = [f"{server}: {_count(plan)}"]
    for change in plan.changes:
        lines.append("")
        lines.append(f"  {change.sign.value} {_headline(change)}")
        if change.downtime:
            lines.append(f"      nobody answers meanwhile: {change.downtime}")
        if change.hint:
            lines.append(f"      hint: {change.hint}")
        lines += [f"      {action_text(action)}" for action in change.actions]
    lines += [f"\n{note}" for note in _notes(notices or {})]
    if plan:
        lines += ["", f"plan {plan.digest}"]
    return "\n".join(lines)


def plan_markdown(plan: Plan, *, server: str, notices: Notices | None = None) -> str:
    """Write a plan for a pull request or a step summary."""
    lines = [
        f"### {_cell(server)}: {_count(plan)}",
        "",
        "| | model | from | to | to fetch | why |",
        "|---|---|---|---|---|---|",
        *(_row(change) for change in plan.changes),
    ]
    pending = plan.pending()
    if pending:
        lines += ["", "<details><summary>Steps</summary>", ""]
        lines += [
            f"- {_cell(action_text(action))}"
            for change in pending
            for action in change.actions
        ]
        lines += ["", "</details>"]
    lines += [f"\n> {_cell(note)}" for note in _notes(notices or {})]
    if plan:
        lines += ["", f"plan `{plan.digest}`"]
    return "\n".join(lines)


def plan_mapping(plan: Plan, *, notices: Notices | None = None) -> dict[str, Any]:
    """Give a plan as JSON values."""
    return {
        "digest": plan.digest,
        "changes": plan.to_mapping(),
        "notices": {str(ref): one.to_mapping() for ref, one in (notices or {}).items()},
    }


def action_text(action: Action) -> str:
    """Name one action and what it is done to."""
    match action:
        case Install(ref=ref, sha256=sha256, overlay=overlay):
            own = ", ".join(f"{key} {value}" for key, value in overlay.items())
            return (
                f"install {ref} {sha256[:12]}, {size(action.fetch_bytes)} of "
                f"{size(action.full_bytes)} to fetch"
                + (", pip installs its requirements" if action.runs_pip else "")
                + (f", with {own}" if own else "")
                + (f", as {action.archive}" if action.archive else "")
            )
        case Register(ref=ref):
            return f"register {ref} and wait until it is ready"
        case Revive(ref=ref):
            return f"restart the workers of {ref}"
        case Scale(ref=ref, workers=workers):
            return f"give {ref} {workers} workers"
        case Probe(ref=ref):
            return f"ask {ref} its golden requests"
        case SetDefault(ref=ref):
            return f"make {ref} the default"
        case Soak(ref=ref, seconds=seconds):
            return f"watch {ref} for {seconds:g} s"
        case Drain(name=name, version=version):
            return f"drain {name}@{version}"
        case Unregister(name=name, version=version):
            return f"unregister {name}@{version}"


def status_text(status: HostStatus, state: HostState, *, server: str) -> str:
    """Write how a host is: what it serves, and both axes of every model."""
    lines = [f"{server}: {_verdicts(status)}"]
    if status.store_error:
        lines.append(f"note: {visible(status.store_error)}")
    for one in status.objections:
        lines.append(f"note: a sync is refused: {visible(one.reason)}")
        lines.append(f"      hint: {one.hint}")
    rows = [
        [
            name,
            one.version,
            "default" if one.is_default else "",
            f"{one.workers_ready}/{one.workers} ready",
            one.device,
            "ours" if name in state.managed() else "not ours",
        ]
        for name, versions in sorted(state.served.items())
        for one in versions
    ]
    header = ["model", "version", "", "workers", "device", "from"]
    lines += ["", table([header, *rows]) if rows else "no models"]
    wrong = list(_complaints(status))
    return "\n".join([*lines, "", *wrong] if wrong else lines)


def status_mapping(status: HostStatus, state: HostState) -> dict[str, Any]:
    """Give how a host is as JSON values."""
    return {
        "in_sync": status.is_in_sync,
        "healthy": status.is_healthy,
        "store_error": status.store_error,
        "objections": [
            {"reason": one.reason, "hint": one.hint} for one in status.objections
        ],
        "models": [one.to_mapping() for one in status.models],
        "unwanted": [one.to_mapping() for one in status.unwanted],
        "served": [
            {
                "name": name,
                "version": one.version,
                "default": one.is_default,
                "workers": one.workers,
                "workers_ready": one.workers_ready,
                "device": one.device,
                "managed": name in state.managed(),
            }
            for name, versions in sorted(state.served.items())
            for one in versions
        ],
    }


def history_text(events: Sequence[Event], *, model: str | None) -> str:
    """Write what was done, to one *model* or to all: a line each, oldest first."""
    if not events:
        return f"nothing was done {f'to {model} ' if model else ''}on this host"
    rows = [
        [one.when, one.who, one.what, one.model, _moved(one), visible(one.why)]
        for one in events
    ]
    return table([["when", "who", "what", "model", "version", "why"], *rows])


def _moved(event: Event) -> str:
    if event.before == event.after or event.before is None:
        return event.after or ""
    if event.what == "unpinned":
        return event.before
    return f"{event.before} -> {event.after or 'nothing'}"


def _count(plan: Plan) -> str:
    refused = len(plan.refused())
    count = f"{len(plan.pending()) or 'nothing'} to do"
    return f"{count}, {refused} refused" if refused else count


def _headline(change: Change) -> str:
    versions = f"{change.name}{_versions(change)}"
    if change.also:
        versions += f", beside it {', '.join(change.also)}"
    why = "; ".join(filter(None, [change.why, change.reason]))
    return f"{versions}  ({visible(why)})" if why else versions


def _versions(change: Change) -> str:
    if change.after is None:
        return f"@{change.before}" if change.before else ""
    if change.before in (None, change.after):
        return f"@{change.after}"
    return f" {change.before} -> {change.after}"


def _row(change: Change) -> str:
    fetch = sum(one.fetch_bytes for one in change.installs)
    full = sum(one.full_bytes for one in change.installs)
    cells = [
        f"`{change.sign.value}`",
        change.name,
        change.before or "",
        ", ".join(filter(None, [change.after, *change.also])),
        f"{size(fetch)} of {size(full)}" if change.installs else "",
        "; ".join(filter(None, [change.why, change.reason, change.downtime])),
    ]
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Keep a text in its cell, and from being Markdown of its own."""
    shown = visible(text)
    for character in "\\|<>[]*_":
        shown = shown.replace(character, f"\\{character}")
    return shown


def _notes(notices: Notices) -> Iterator[str]:
    for ref, notice in notices.items():
        yield f"note: {ref} is {visible(str(notice))}"


def _verdicts(status: HostStatus) -> str:
    sync = "in sync" if status.is_in_sync else "not in sync"
    if status.store_error:
        sync = "nobody knows whether in sync"
    return f"{sync}, {'healthy' if status.is_healthy else 'not healthy'}"


def _complaints(status: HostStatus) -> Iterable[str]:
    for one in (*status.models, *status.unwanted):
        if one.pinned:
            yield f"{one.name} is {visible(one.pinned)}"
        for version, why in one.held_back.items():
            yield f"{one.name}@{version} is {visible(why)}"
        if one.last_failure is not None:
            yield from _failure(
                one.name, one.last_failure, is_tried_again=one.is_tried_again
            )
        if one.why_not_in_sync:
            yield f"{one.name} is not in sync: {visible(one.why_not_in_sync)}"
        if one.hint:
            yield f"      hint: {visible(one.hint)}"
        if one.why_not_healthy:
            yield f"{one.name} is not healthy: {visible(one.why_not_healthy)}"


def _failure(name: str, failure: Failure, *, is_tried_again: bool) -> Iterator[str]:
    """Say when and why a change failed; what is held back has told why before."""
    hint = visible(failure.hint)
    if not is_tried_again:
        yield f"      hint: {hint}; `ms sync unpin {name}` has it tried again"
        return
    version = f"@{failure.version}" if failure.version else ""
    times = f"{failure.times} times since {failure.since}, last "
    yield (
        f"{name}{version} failed {times if failure.times > 1 else ''}on "
        f"{failure.when}: {visible(failure.why)}"
    )
    yield f"      hint: {hint or '`ms sync apply` tries it again'}"
