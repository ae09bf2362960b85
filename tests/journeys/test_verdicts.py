"""A release carries what tests found out about its bytes, and about no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.store import MemoryStore
from fakes.watcher import Quiet
from journeys.publishing import CAT, DOG
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.passing_archives import PassingArchives
from model_servers.adapters.releases import StoredReleases
from model_servers.core.names import Ref
from model_servers.core.release import release_key
from model_servers.core.verdicts import Answered, Passed, Verdict
from model_servers.errors import RefusedError, RequestError
from model_servers.journeys.build import Build
from model_servers.journeys.mirror import Mirror
from model_servers.journeys.publish import Publish
from reports import MEASURED, RIGHT, WRONG, verdict_of
from zoo import HANDLER


def run(
    registry: Path, store: MemoryStore, *verdicts: Verdict, names=("cat", "dog")
) -> list[Ref]:
    build = Build(registry=Checkout(registry), writer=MarWriter())
    releases = StoredReleases(store)
    publish = Publish(build=build, store=store, releases=releases, verdicts=verdicts)
    plan = publish.run([build.recipe(name) for name in names], Quiet())
    return [one.ref for one in plan.new]


def document(store: MemoryStore, ref: Ref):
    return json.loads(store.objects[release_key(ref)])


def test_a_release_says_how_its_golden_cases_were_answered(registry, store):
    cases = [{**RIGHT, "case": "two", "latency_ms": 2}, {**RIGHT, "case": "one"}]

    run(registry, store, verdict_of(registry, "cat", cases=cases))

    assert document(store, CAT)["tested"] == [
        {
            "device": "cpu",
            "golden": [
                {"case": "one", "verdict": "passed", "latency_ms": 1.5},
                {"case": "two", "verdict": "passed", "latency_ms": 2.0},
            ],
            "measured": MEASURED,
        }
    ]
    assert document(store, DOG)["tested"] == []
    assert StoredReleases(store).find(CAT).tested == (
        Passed(
            device="cpu",
            golden=(
                Answered(case="one", latency_ms=1.5),
                Answered(case="two", latency_ms=2.0),
            ),
            load_s=2.25,
            p50_ms=1.25,
            p95_ms=4.5,
            memory_mib=2048,
        ),
    )


def test_tests_on_two_devices_stand_side_by_side_in_one_order(registry):
    both = [verdict_of(registry, "cat", device=one) for one in ("gpu", "cpu")]
    found = []
    for verdicts in (both, both[::-1]):
        store = MemoryStore()
        run(registry, store, *verdicts)
        found.append(store.objects[release_key(CAT)])

    assert found[0] == found[1]
    tested = json.loads(found[0])["tested"]
    assert [one["device"] for one in tested] == ["cpu", "gpu"]


def test_a_report_about_another_archive_is_refused(registry, store):
    other = verdict_of(registry, "dog", archive_sha256="ab" * 32)

    with pytest.raises(
        RefusedError, match=r"dog@2\.1\.0 as archive abababababab; this one is \w{12},"
    ) as caught:
        run(registry, store, other)

    assert caught.value.hint.startswith("test what is here: ms test dog --layout mar")
    assert release_key(CAT) in store.objects
    assert release_key(DOG) not in store.objects


def test_a_report_about_other_inputs_is_refused_before_anything_is_done(
    registry, store
):
    before = verdict_of(registry, "dog")
    (registry / "dog" / "handler_model.py").write_text(f"{HANDLER}# other\n")

    with pytest.raises(RefusedError, match=r"dog@2\.1\.0 with other inputs: \w{12}, "):
        run(registry, store, before)

    assert store.objects == {}


def test_a_report_about_another_version_is_refused(registry, store):
    with pytest.raises(
        RequestError, match=r"tells of cat@9\.0, and here are only cat@1\.0\.0, dog"
    ):
        run(registry, store, verdict_of(registry, "cat", version="9.0"))

    assert store.objects == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cases": [RIGHT, WRONG]}, "1 of 2 golden answers not as expected"),
        ({"cases": [{**RIGHT, "runs": False}]}, "1 of 1 golden answers not as"),
        ({"error": "it\x1b fell", "cases": [], "measured": None}, r"it\\x1b fell"),
        ({"cases": [], "measured": None, "device": None}, "it was not asked"),
    ],
)
def test_what_failed_its_test_is_not_released(registry, store, changes, words):
    with pytest.raises(RefusedError, match=words):
        run(registry, store, verdict_of(registry, "dog", **changes))

    assert store.objects == {}


def test_of_two_reports_of_one_test_none_is_chosen(registry, store):
    twice = [verdict_of(registry, "cat")] * 2

    with pytest.raises(RequestError, match=r"two reports tell of cat@1\.0\.0 on cpu"):
        run(registry, store, *twice)


def test_a_report_that_tells_of_one_case_twice_is_refused(registry, store):
    cases = [{**RIGHT, "latency_ms": 9.0}, {**RIGHT, "case": "other"}, RIGHT]

    with pytest.raises(
        RequestError,
        match=r"a report tells of cat@1\.0\.0 and its golden case 'case' twice; no",
    ) as caught:
        run(registry, store, verdict_of(registry, "cat", cases=cases))

    assert caught.value.hint.startswith("test what is here: ms test cat --layout mar")
    assert store.objects == {}


def test_the_same_version_again_is_done_whatever_was_measured_meanwhile(
    registry, store
):
    run(registry, store, verdict_of(registry, "cat"))
    before = dict(store.objects)
    slower = {**MEASURED, "load_s": 9.0}

    assert run(registry, store, verdict_of(registry, "cat", measured=slower)) == []
    assert store.objects == before


def test_a_rival_with_the_same_bytes_and_other_figures_has_made_the_same(
    registry, store
):
    rival = MemoryStore()
    run(registry, rival, verdict_of(registry, "cat"), names=["cat"])
    create = store.create

    def too_late(key: str, body: bytes) -> bool:
        if key == release_key(CAT):
            create(key, rival.objects[key])
        return create(key, body)

    store.create = too_late
    slower = {**MEASURED, "load_s": 9.0}

    run(registry, store, verdict_of(registry, "cat", measured=slower), names=["cat"])

    assert store.objects[release_key(CAT)] == rival.objects[release_key(CAT)]


def test_a_mirror_has_the_verdicts_too(registry, store, tmp_path):
    run(registry, store, verdict_of(registry, "cat"), names=["cat"])
    target = MemoryStore()
    mirror = Mirror(
        source=store,
        source_releases=StoredReleases(store),
        target=target,
        target_releases=StoredReleases(target),
        archives=PassingArchives(tmp_path / "on their way", stored=None),
    )

    mirror.run([CAT], Copied())

    assert target.objects[release_key(CAT)] == store.objects[release_key(CAT)]


class Copied(Quiet):
    """Watches mirroring and remembers nothing."""

    def fetching(self, release, size_bytes):
        return lambda count: None
