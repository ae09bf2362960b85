"""Changes admitted to GPUs: one by one, with what is there at that moment."""

from __future__ import annotations

from functools import partial

from model_servers.core import admission as admitting
from model_servers.core.admission import Admitted, Candidate
from model_servers.core.crowding import Machine
from model_servers.core.gpus import Device, Gpus, Tenant
from model_servers.core.placement import Ask, Misfit, Placement
from model_servers.core.profile import Update

admit = partial(admitting.admit, machine=Machine(cores=2, memory_mib=4000))

ROOM = 256
"""What admission keeps free on a small device."""


def gpus(*total):
    return Gpus(
        devices=tuple(
            Device(index=i, total_mib=mib + ROOM, free_mib=mib + ROOM)
            for i, mib in enumerate(total)
        )
    )


def wants(name, version, mib):
    """Want so much for one worker, and nothing for its context."""
    return Ask(name=name, version=version, workers=1, tensors_mib=mib, context_mib=0)


def added(name, mib):
    return Candidate(name=name, comes=(wants(name, "1.0", mib),))


def upgraded(mib, **changes):
    return Candidate(
        name="a", comes=(wants("a", "2.0", mib),), goes=("1.0",), **changes
    )


def placed(mib, *device_ids):
    return Placement(device_ids=device_ids, workers=1, worker_mib=mib)


def held(name, version, mib, index=0):
    return Tenant(name=name, version=version, device_mib={index: mib})


OLD = held("a", "1.0", 500)


def uses(admission):
    return [(one.held_mib, one.peak_mib) for one in admission.uses]


def test_versions_are_placed_beside_those_placed_before_them():
    admission = admit([added("a", 600), added("b", 600)], gpus(1000, 1000), [])

    assert admission.placements() == {
        ("a", "1.0"): placed(600, 0),
        ("b", "1.0"): placed(600, 1),
    }
    assert admission.refused == {}
    assert uses(admission) == [(0, 600), (0, 600)]


def test_one_that_does_not_fit_is_refused_and_the_others_are_not():
    admission = admit([added("a", 600), added("b", 600)], gpus(1000), [])

    assert set(admission.placements()) == {("a", "1.0")}
    assert admission.refused == {
        "b": Misfit(
            reason="it does not fit on GPU 0",
            details=(
                "1 worker of 600 + 0 MiB each",
                "GPU 0: 400 of 1256 MiB free to promise; a@1.0 600",
            ),
            hint="give b fewer workers, less maxGPUMemory, or another host",
        )
    }


def test_a_refused_model_leaves_its_room_to_those_after_it():
    candidates = [
        Candidate(name="a", comes=(wants("a", "1", 600), wants("a", "2", 600))),
        added("b", 900),
    ]

    admission = admit(candidates, gpus(1000), [])

    assert set(admission.refused) == {"a"}
    assert admission.placements() == {("b", "1.0"): placed(900, 0)}


def test_both_versions_are_counted_while_both_are_there():
    admission = admit([upgraded(500)], gpus(1000), [OLD])

    assert admission.decisions == {"a": Admitted(placements={"2.0": placed(500, 0)})}
    assert uses(admission) == [(500, 1000)]


def test_what_a_removal_frees_is_there_for_those_after_it():
    removed = Candidate(name="a", goes=("1.0",))

    admission = admit([removed, added("b", 900)], gpus(1000), [OLD])

    assert admission.placements() == {("b", "1.0"): placed(900, 0)}


def test_a_version_that_is_loaded_anew_has_the_room_that_it_had():
    anew = Candidate(name="a", comes=(wants("a", "1.0", 500),), goes_before=("1.0",))

    admission = admit([anew], gpus(600), [OLD])

    assert admission.decisions == {"a": Admitted(placements={"1.0": placed(500, 0)})}


def crowded(update=Update.AUTO, **options):
    """Upgrade a model of which two versions do not fit."""
    return admit([upgraded(500, update=update)], gpus(900), [OLD], **options)


def test_without_room_for_both_nothing_happens_before_a_person_agrees():
    found = crowded().refused["a"]

    assert found.reason == "it fits only once the old version is gone"
    assert found.details == (
        "1 worker of 500 + 0 MiB each",
        "GPU 0: 400 of 1156 MiB free to promise; a@1.0 500",
    )
    assert found.hint == (
        "add --allow-downtime, or say `allow_downtime: true` in the policy of the host "
        "profile"
    )


def test_once_agreed_the_old_version_goes_first():
    admission = crowded(allow_downtime=True)

    assert admission.decisions == {
        "a": Admitted(placements={"2.0": placed(500, 0)}, old_goes_first=True)
    }
    assert uses(admission) == [(500, 500)]


def test_a_host_that_insists_on_availability_never_goes_down():
    found = crowded(Update.AVAILABILITY, allow_downtime=True).refused["a"]

    assert found.reason == (
        "it does not fit on GPU 0 beside the version that answers now"
    )


def test_a_host_that_saves_resources_goes_down_even_where_both_fit():
    found = admit([upgraded(500, update=Update.RESOURCE)], gpus(9000), [OLD])

    assert found.decisions == {
        "a": Admitted(placements={"2.0": placed(500, 0)}, old_goes_first=True)
    }


def test_a_model_that_fits_in_no_case_is_told_so_and_not_to_go_down():
    admission = admit([upgraded(500)], gpus(400), [held("a", "1.0", 100)])

    assert admission.refused["a"].reason == "it does not fit on GPU 0"


def test_a_new_model_needs_no_downtime_on_a_host_that_saves_resources():
    candidate = Candidate(
        name="a", comes=(wants("a", "1.0", 500),), update=Update.RESOURCE
    )

    assert admit([candidate], gpus(900), []).refused == {}


def test_models_of_the_cpu_are_admitted_anywhere():
    plain = Candidate(name="a", goes=("1.0",), update=Update.AVAILABILITY)

    admission = admit([plain], Gpus(why_none="the driver shows none"), [])

    assert admission.decisions == {"a": Admitted()}
    assert admission.why_no_gpu == "the driver shows none"
