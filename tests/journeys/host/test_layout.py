"""A host that changes how it lays out what TorchServe registers."""

from __future__ import annotations

import sys

import pytest

from fakes.host import Host
from model_servers.adapters.entries import visible_layout, why_unusable
from model_servers.adapters.leftovers import LocalLeftovers
from model_servers.adapters.trees import LocalTrees
from model_servers.core.admission import Admission
from model_servers.core.changes import Install, Sign
from model_servers.core.entries import Layout
from model_servers.core.guards import Override
from model_servers.core.names import Ref
from model_servers.core.profile import WantedModel
from model_servers.core.pruning import Kind
from model_servers.errors import OutsideError
from model_servers.journeys.host.boot import write_boot
from model_servers.journeys.host.prune import Prune
from model_servers.journeys.host.verify import Rot, Verify

CAT_1, CAT_2 = Ref.parse("cat@1.0.0"), Ref.parse("cat@1.10.0")


class Seen:
    def checking(self, key: str, size_bytes: int):
        return lambda count: None


@pytest.fixture
def host(host: Host) -> Host:
    """A host that serves cat@1.0.0, and starts with a config of its operator."""
    host.config = host.folder / "config.properties"
    host.config.write_text("# of the operator\n")
    host = host.relaid(host.layout)
    host.apply({"cat": "1.0.0"})
    return host


def other(host: Host) -> Host:
    """Give the same host under a profile with the other layout."""
    return host.relaid(Layout.MAR if host.layout is Layout.DIR else Layout.DIR)


def boots(host: Host) -> str:
    """Give what TorchServe would load if it started now."""
    written = host.root / ".model-servers" / "host" / "config.properties"
    (line,) = (
        one for one in written.read_text().splitlines() if one.startswith("load_models")
    )
    return line.removeprefix("load_models=")


def restart(host: Host) -> None:
    """Have the server start anew, into what it was told to load."""
    for version in host.server.versions("cat"):
        host.server.unregister("cat", version)
    for entry in boots(host).split(","):
        name, _, found = entry.partition("=")
        version = found.removeprefix(f"{name}-").removesuffix(".mar")
        host.server.register_as(name, version, found)
    host.server.describe("cat")
    host.server.calls.clear()


def prune(host: Host) -> list[Kind]:
    leftovers = LocalLeftovers(host.root, layout=host.layout, temp=None, now_s=0)
    journey = Prune(
        leftovers=leftovers, model_store=host.model_store, memory=host.memory
    )
    found = journey.find(host.sync.observe(), [CAT_1])
    journey.remove(found)
    assert journey.find(host.sync.observe(), [CAT_1]) == []
    return [one.kind for one in found]


def visible(host: Host) -> list[str]:
    return sorted(one.name for one in host.root.glob("[!.]*"))


def test_what_serves_goes_on_and_the_next_start_takes_the_new_entry(host: Host) -> None:
    entry = host.layout.entry(CAT_1)
    host.server.calls.clear()
    changed = other(host)

    plan, _ = changed.plan({"cat": "1.0.0"})
    (change,) = plan.changes
    assert change.sign is Sign.CHANGE
    assert [type(action) for action in change.actions] == [Install]
    assert change.installs[0].fetch_bytes == 0
    assert change.reason == (
        f"TorchServe's next start is from {changed.layout.entry(CAT_1)}; what serves "
        "now goes on"
    )
    assert not change.downtime
    changed.apply({"cat": "1.0.0"})

    assert changed.server.calls == []
    assert [one.location for one in changed.server.describe("cat")] == [entry]
    assert boots(changed) == f"cat={changed.layout.entry(CAT_1)}"
    assert not changed.plan({"cat": "1.0.0"})[0]
    restart(changed)
    assert not changed.plan({"cat": "1.0.0"})[0]


def test_the_old_entry_goes_once_nothing_serves_from_it(host: Host) -> None:
    changed = other(host)
    changed.apply({"cat": "1.0.0"})

    assert prune(changed) == []
    assert len(visible(changed)) == 2
    restart(changed)
    assert prune(changed)[0] is Kind.ENTRY

    assert visible(changed) == [changed.layout.entry(CAT_1)]
    assert boots(changed) == f"cat={changed.layout.entry(CAT_1)}"
    assert not changed.plan({"cat": "1.0.0"})[0]
    assert verify(changed) == []


def test_a_boot_set_that_is_behind_never_names_what_is_pruned(host: Host) -> None:
    changed = other(host)
    changed.apply({"cat": "1.0.0"})
    restart(changed)
    # As if it had been killed before it wrote what TorchServe starts with.
    host.memory.write(host.memory.read())
    assert boots(changed) == f"cat={host.layout.entry(CAT_1)}"

    prune(changed)

    assert boots(changed) == f"cat={changed.layout.entry(CAT_1)}"


def test_an_upgrade_and_a_way_back_use_the_new_layout(host: Host) -> None:
    changed = other(host)

    changed.apply({"cat": "1.10.0"})
    assert changed.server.describe("cat")[0].location == changed.layout.entry(CAT_2)
    changed.apply({"cat": "1.0.0"})

    assert changed.server.describe("cat")[0].location == changed.layout.entry(CAT_1)
    assert boots(changed) == f"cat={changed.layout.entry(CAT_1)}"


def test_the_gpus_are_not_asked_for_what_serves_on(host: Host) -> None:
    wanted = {"cat": WantedModel(default="1.0.0")}

    planned = other(host).planning.run(wanted, allow=())

    assert planned.admission == Admission()
    assert planned.plan.pending()


def test_what_had_to_go_first_comes_back_in_the_new_layout(host: Host) -> None:
    changed = other(host)
    changed.server.script("cat-1.10.0", crashes=True, load_error="broken")

    with pytest.raises(OutsideError, match="cat"):
        changed.apply(
            {"cat": {"default": "1.10.0", "update": "resource"}},
            None,
            Override.DOWNTIME,
        )

    assert changed.state() == {"cat": ("1.0.0", ["1.0.0"])}
    assert changed.server.describe("cat")[0].location == changed.layout.entry(CAT_1)


def test_going_back_and_forth_between_layouts_ends_where_it_began(host: Host) -> None:
    other(host).apply({"cat": "1.0.0"})

    again = host.relaid(host.layout)

    assert not again.plan({"cat": "1.0.0"})[0]
    again.memory.write(again.memory.read())
    assert boots(again) == f"cat={host.layout.entry(CAT_1)}"
    assert prune(again)[0] is Kind.ENTRY
    assert visible(again) == [host.layout.entry(CAT_1)]


def test_a_damaged_entry_is_left_out_of_the_start(host: Host) -> None:
    entry = host.root / host.layout.entry(CAT_1)
    if host.layout is Layout.MAR:
        entry.chmod(0o644)
        entry.write_bytes(entry.read_bytes()[:-1000])
    else:
        (entry / "model-config.yaml").write_text("")

    def check(ref: Ref) -> str:
        layout = visible_layout(host.root, ref, host.layout)
        return why_unusable(host.root, ref, layout)

    left_out = write_boot(host.memory, check)

    assert list(left_out) == ["cat@1.0.0"]
    assert boots(host) == ""


def verify(host: Host, *, heal: bool = True) -> list[Rot]:
    journey = Verify(
        trees=LocalTrees(host.root, python=sys.executable),
        store=host.store,
        releases=host.sync.releases,
    )
    return journey.run(Seen(), heal=heal).rots


@pytest.mark.parametrize("layout", [Layout.MAR], indirect=True)
def test_an_archive_that_has_rotted_is_put_together_again_without_the_store(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.apply({"cat": {"default": "1.0.0", "workers": 2}}, None, Override.DOWNTIME)
    assert host.model_store.serving(CAT_1).min_workers == 2
    entry = host.root / "cat-1.0.0.mar"
    good = entry.read_bytes()
    entry.chmod(0o644)
    entry.write_bytes(good[:6000] + bytes([good[6000] ^ 1]) + good[6001:])
    monkeypatch.setattr(host.store, "stat", None)

    looked = verify(host, heal=False)
    found = verify(host)

    assert [one.members for one in looked] == [("cat-1.0.0.mar",)]
    assert found == [Rot(ref="cat@1.0.0", members=("cat-1.0.0.mar",))]
    assert entry.read_bytes() == good
    assert verify(host) == []
    assert not host.model_store.installed()[CAT_1].answered


@pytest.mark.parametrize("layout", [Layout.MAR], indirect=True)
def test_a_tree_without_a_record_is_known_by_its_archive(host: Host) -> None:
    (record,) = (host.root / ".model-servers" / "trees").glob("*.json")
    good = record.read_bytes()
    record.unlink()

    assert verify(host) == [Rot(ref="cat@1.0.0", members=("release.json",))]

    assert record.read_bytes() == good
