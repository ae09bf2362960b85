"""Plans admitted to GPUs: change by change, with what is there at that moment."""

from __future__ import annotations

import pytest

from model_servers.core.admission import Admission, Policy, admit
from model_servers.core.gpus import Device, Gpus, Tenant
from model_servers.core.names import Ref
from model_servers.core.placement import Ask, Placement
from model_servers.core.plan import (
    Change,
    Drain,
    Install,
    Plan,
    Probe,
    Register,
    SetDefault,
    Sign,
    Unregister,
)

A1, A2, B1 = map(Ref.parse, ["a@1.0", "a@2.0", "b@1.0"])
ROOM = 256
"""What admission keeps free on a small device."""


def gpus(*total):
    return Gpus(
        devices=tuple(
            Device(index=i, total_mib=mib + ROOM, free_mib=mib + ROOM)
            for i, mib in enumerate(total)
        )
    )


def asks(**mib):
    """Let each model want so much for its one worker, and nothing for a context."""

    def found(ref):
        if ref.name not in mib:
            return None
        return Ask(
            name=ref.name,
            version=str(ref.version),
            workers=1,
            tensors_mib=mib[ref.name],
            context_mib=0,
        )

    return found


def placed(mib, *device_ids):
    return Placement(device_ids=device_ids, workers=1, worker_mib=mib)


def held(ref, mib, index=0):
    return Tenant(name=ref.name, version=str(ref.version), device_mib={index: mib})


def added(ref):
    actions = (Install(ref, "0" * 64, 7), Register(ref), Probe(ref))
    return Change(
        name=ref.name, sign=Sign.ADD, before=None, after="1.0", actions=actions
    )


UPGRADE = Change(
    name="a",
    sign=Sign.CHANGE,
    before="1.0",
    after="2.0",
    actions=(
        Install(A2, "0" * 64, 7),
        Register(A2),
        Probe(A2),
        SetDefault(A2),
        Drain("a", "1.0"),
        Unregister("a", "1.0"),
    ),
)
REMOVAL = Change(
    name="a",
    sign=Sign.REMOVE,
    before="1.0",
    after=None,
    actions=(Drain("a", "1.0"), Unregister("a", "1.0")),
)


def names(change):
    return [type(action).__name__ for action in change.actions]


def uses(admission):
    return [(one.held_mib, one.peak_mib) for one in admission.devices]


def test_versions_are_placed_beside_those_placed_before_them():
    admission = admit(
        Plan((added(A1), added(B1))), gpus(1000, 1000), [], asks(a=600, b=600)
    )

    assert admission.placements() == {A1: placed(600, 0), B1: placed(600, 1)}
    assert admission.refused == {}
    assert uses(admission) == [(0, 600), (0, 600)]


def test_one_that_does_not_fit_is_refused_and_the_others_are_not():
    admission = admit(Plan((added(A1), added(B1))), gpus(1000), [], asks(a=600, b=600))

    assert [bool(one.actions) for one in admission.plan.changes] == [True, False]
    assert admission.plan.changes[1].reason == "refused: it does not fit on GPU 0"
    assert admission.refused["b"].details == (
        "1 worker of 600 + 0 MiB each",
        "GPU 0: 400 of 1256 MiB free to promise; a@1.0 600",
    )


def test_both_versions_are_counted_while_both_are_there():
    admission = admit(Plan((UPGRADE,)), gpus(1000), [held(A1, 500)], asks(a=500))

    assert names(admission.plan.changes[0]) == names(UPGRADE)
    assert uses(admission) == [(500, 1000)]


def test_what_a_removal_frees_is_there_for_those_after_it():
    admission = admit(
        Plan((REMOVAL, added(B1))), gpus(1000), [held(A1, 800)], asks(b=900)
    )

    assert admission.placements() == {B1: placed(900, 0)}


def crowded(**options) -> Admission:
    """Upgrade a model of which two versions do not fit."""
    return admit(Plan((UPGRADE,)), gpus(900), [held(A1, 500)], asks(a=500), **options)


def test_without_room_for_both_nothing_happens_before_a_person_agrees():
    admission = crowded()

    assert admission.plan.pending() == []
    assert admission.downtime == ()
    assert admission.refused["a"].reason == "it fits only once the old version is gone"
    assert admission.refused["a"].hint == (
        "add --allow-downtime; nothing answers until the new version does"
    )


def test_once_agreed_the_old_version_goes_after_the_fetch_and_before_the_new_one():
    admission = crowded(allow_downtime=True)

    assert names(admission.plan.changes[0]) == [
        "Install",
        "Drain",
        "Unregister",
        "Register",
        "Probe",
        "SetDefault",
    ]
    assert admission.downtime == ("a",)
    assert uses(admission) == [(500, 500)]


def test_a_host_that_insists_on_availability_never_goes_down():
    admission = crowded(policy=Policy.AVAILABILITY, allow_downtime=True)

    assert admission.downtime == ()
    assert admission.refused["a"].reason == (
        "it does not fit on GPU 0 beside the version that answers now"
    )


@pytest.mark.parametrize("allowed", [True, False])
def test_a_host_that_saves_resources_goes_down_even_where_both_fit(allowed):
    admission = admit(
        Plan((UPGRADE,)),
        gpus(9000),
        [held(A1, 500)],
        asks(a=500),
        policy=Policy.RESOURCE,
        allow_downtime=allowed,
    )

    assert admission.downtime == (("a",) if allowed else ())
    assert bool(admission.refused) is not allowed


def test_a_model_that_fits_in_no_case_is_told_so_and_not_to_go_down():
    admission = admit(
        Plan((UPGRADE,)), gpus(400), [held(A1, 100)], asks(a=500), allow_downtime=True
    )

    assert admission.refused["a"].reason == "it does not fit on GPU 0"


def test_a_new_model_needs_no_downtime_on_a_host_that_saves_resources():
    admission = admit(
        Plan((added(A1),)), gpus(900), [], asks(a=500), policy=Policy.RESOURCE
    )

    assert admission.refused == {}


def test_models_of_the_cpu_are_as_they_were():
    plan = Plan((added(A1), UPGRADE, REMOVAL))

    assert admit(plan, gpus(100), [], asks()).plan == plan


def test_the_digest_of_a_plan_tells_placements_apart():
    plan = Plan((added(A1),))
    first = admit(plan, gpus(900, 600), [], asks(a=500)).plan
    second = admit(plan, gpus(600, 900), [], asks(a=500)).plan

    assert len({plan.digest, first.digest, second.digest}) == 3


def test_the_digest_stays_while_free_memory_moves():
    plan = Plan((added(A1),))
    digests = {
        admit(plan, gpus(mib), [], asks(a=500)).plan.digest for mib in (100, 200)
    }

    assert len(digests) == 1
