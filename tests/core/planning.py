"""Hosts of models a and b, and what is wanted of them, for the planner."""

from __future__ import annotations

from dataclasses import replace

from model_servers.core.host import HostState, Installed, ServedVersion, Wanted
from model_servers.core.names import Ref
from model_servers.core.plan import Change, Install, plan
from model_servers.core.release import Archive, Release

A1, A2, A3, B1 = map(Ref.parse, ["a@1.0", "a@2.0", "a@3.0", "b@1.0"])


NO_LONGER = "the host profile does not ask for it"


SIZE = 7


def sha256(ref, kind="released"):
    return f"{kind}-{ref}".encode().hex().ljust(64, "0")


def release(ref):
    return Release(
        ref=ref,
        archive=Archive(
            size_bytes=SIZE,
            sha256=sha256(ref),
            members=(),
            framing_blake3=sha256(ref),
        ),
        inputs_digest="",
        git_commit=None,
        toolchain={},
        resources={},
    )


def desired(*refs):
    return {ref.name: Wanted(default=release(ref)) for ref in refs}


def served(ref, **changes):
    """Give a version as it is served after a sync: default, ready, ours."""
    facts = {
        "version": str(ref.version),
        "location": ref.entry,
        "is_default": True,
        "workers": 1,
        "workers_ready": 1,
        "batch_size": 1,
        "max_batch_delay_ms": 100,
        "response_timeout_s": 120,
        "pending_requests": 0,
    }
    return ServedVersion(**{**facts, **changes})


def foreign(version, **changes):
    return replace(served(A1), version=version, location="http://x/a.mar", **changes)


def workers(number):
    """Give the settings with which a host decides about workers."""
    return {"minWorkers": number, "maxWorkers": number}


def installed(*refs, answered=True, kind="released"):
    return {ref: Installed(sha256=sha256(ref, kind), answered=answered) for ref in refs}


def host(*versions, on_disk, of="a"):
    return HostState(served={of: versions} if versions else {}, installed=on_disk)


def planned(wanted, observed, **how):
    return plan(
        wanted,
        observed,
        missing_bytes=lambda release: SIZE,
        needs_pip=lambda release: False,
        **how,
    )


def change(sign, before, after, *actions, name="a", **more):
    return Change(
        name=name, sign=sign, before=before, after=after, actions=actions, **more
    )


INSTALL_A1 = Install(A1, sha256(A1), SIZE, SIZE)


INSTALL_A2 = Install(A2, sha256(A2), SIZE, SIZE)


FOREIGN = "it was registered from 'http://x/a.mar', not by this tool"
