"""Every kind of finding can be found, and is found alone."""

import pytest

from fakes.watcher import Quiet
from findings.triggers import TODAY, TRIGGERS
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.releases import StoredReleases
from model_servers.core.findings import Code
from model_servers.journeys.build import Build
from model_servers.journeys.publish import Publish
from model_servers.journeys.validate import validate
from model_servers.journeys.versions import in_store, version_finding

ACCOMPANIED = {Code.EXPIRED_EXCEPTION: {Code.UNUSED_FILE}}
"""What cannot be alone: an expired exception is from something."""


def build(directory):
    return Build(registry=Checkout(directory.parent), writer=MarWriter())


def publish(directory, store):
    journey = Publish(
        build=build(directory), store=store, releases=StoredReleases(store)
    )
    recipe = journey.build.recipe(directory.name)
    journey.run([recipe], Quiet())


def test_every_code_has_a_trigger():
    assert {code for code in Code if code not in TRIGGERS} == set()


@pytest.mark.parametrize("code", TRIGGERS, ids=lambda code: code.value)
def test_the_smallest_fault_is_found_and_nothing_else(tmp_path, code):
    trigger = TRIGGERS[code]
    store = LocalStore(tmp_path / "store")
    if trigger.released is not None:
        publish(trigger.released.make(tmp_path / "before"), store)
    directory = trigger.make(tmp_path / "registry")

    found = validate(Checkout(directory.parent), [directory.name], today=TODAY)
    if trigger.released is not None:
        releases = in_store(StoredReleases(store), address=store.address)
        found += version_finding(build(directory), directory.name, releases)

    assert code in {one.code for one in found}
    assert {one.code for one in found} - {code} <= ACCOMPANIED.get(code, set())
    assert all(one.message and one.fix for one in found if one.code is code)


@pytest.mark.parametrize("code", Code, ids=lambda code: code.value)
def test_a_code_says_what_why_and_how_in_sentences(code):
    assert [text[-1] for text in (code.title, code.why, code.fix)] == [".", ".", "."]
