"""Which version `latest` is, and what a host is told of the versions it names."""

from __future__ import annotations

from fakes.host import Host
from model_servers.core.host import Refusal, wanted_releases
from model_servers.core.lifecycle import Notice, State
from model_servers.core.names import Ref, Version
from model_servers.journeys.catalog import Catalog

CAT_1, CAT_2 = Ref.parse("cat@1.0.0"), Ref.parse("cat@1.10.0")


YANKED = Notice(state=State.YANKED, reason="wrong labels", date="2026-01-02")


def note(host: Host, **said: Notice) -> None:
    """Let the store say something of versions of cat, such as ``v1_0_0``."""
    catalog = Catalog(store=host.store, releases=host.sync.releases)
    notices = {
        Version.parse(name[1:].replace("_", ".")): notice
        for name, notice in said.items()
    }
    catalog.note({"cat": notices})


def test_latest_passes_over_yanked_versions(host: Host) -> None:
    note(host, v1_10_0=YANKED)

    host.apply({"cat": "latest"})

    assert host.state()["cat"] == ("1.0.0", ["1.0.0"])


def test_latest_of_nothing_but_yanked_versions_is_refused(host: Host) -> None:
    note(host, v1_0_0=YANKED, v1_10_0=YANKED)

    refusal = host.resolve({"cat": "latest"}).desired["cat"]

    assert isinstance(refusal, Refusal)
    assert refusal.reason.startswith("every released version of cat is yanked")


def test_a_host_is_told_what_is_said_of_the_versions_that_it_names(host: Host) -> None:
    note(host, v1_10_0=YANKED)

    resolved = host.resolve({"cat": "1.10.0", "dog": "latest"})

    assert resolved.notices == {CAT_2: YANKED}


def test_a_store_without_an_index_says_nothing_and_still_has_a_latest(
    host: Host,
) -> None:
    host.store.delete("index.json")

    resolved = host.resolve({"cat": "latest"})

    assert list(wanted_releases(resolved.desired)) == [CAT_2]
    assert resolved.notices == {}


def test_the_highest_version_is_the_latest(host: Host) -> None:
    host.publish(Ref.parse("cat@1.9.0"))

    desired = host.resolve({"cat": "latest"}).desired
    assert list(wanted_releases(desired)) == [CAT_2]
