"""Pruning takes what nobody needs, and nothing of what anybody may."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from fakes.small_host import Host
from model_servers.adapters.leftovers import LocalLeftovers
from model_servers.adapters.trees import LocalTrees
from model_servers.core.entries import Layout
from model_servers.core.names import Ref
from model_servers.core.pruning import Kind, Prunable, beyond_keep
from model_servers.core.release import Release
from model_servers.journeys.host.prune import Prune
from model_servers.journeys.host.verify import Verify
from model_servers.journeys.released_bytes import ReleasedBytes

CATS = [Ref.parse(f"cat@{i}.0.0") for i in range(1, 5)]
DOG = Ref.parse("dog@1.0.0")
NOW_S = 2_000_000_000.0
DAY_S = 86_400.0


@pytest.fixture
def host(tmp_path: Path, layout: Layout) -> Host:
    """A host with four versions of one model, the last of which is served."""
    host = Host(tmp_path, layout=layout)
    for i, ref in enumerate([*CATS, DOG]):
        host.publish(ref, files={"checkpoint.pt": bytes([i]) * 5000})
        host.install(ref)
        age(host.entry(ref), NOW_S - 100 * DAY_S + i * DAY_S)
    host.register(CATS[3])
    return host


def age(path: Path, when_s: float) -> None:
    for one in (path, *path.rglob("*")) if not path.is_symlink() else (path,):
        os.utime(one, (when_s, when_s), follow_symlinks=False)


def prune(
    host: Host,
    *wanted: Ref,
    unsure: Collection[str] = (),
    temp: Path | None = None,
    keep: int = 2,
) -> list[Prunable]:
    leftovers = LocalLeftovers(host.root, layout=host.layout, temp=temp, now_s=NOW_S)
    journey = Prune(
        leftovers=leftovers, model_store=host.model_store, memory=host.memory
    )

    def find() -> list[Prunable]:
        return journey.find(host.sync.observe(), wanted, unsure=unsure, keep=keep)

    found = find()
    journey.remove(found)
    assert find() == []
    return found


def look(host: Host, **options: int) -> list[Prunable]:
    leftovers = LocalLeftovers(host.root, layout=host.layout, temp=None, now_s=NOW_S)
    journey = Prune(
        leftovers=leftovers, model_store=host.model_store, memory=host.memory
    )
    return journey.find(host.sync.observe(), (), **options)


def used_bytes(host: Host) -> int:
    """Count every file once, however many names it has."""
    files = [one.lstat() for one in host.root.rglob("*") if one.is_file()]
    return sum({one.st_ino: one.st_size for one in files}.values())


def home(host: Host) -> Path:
    return host.root / ".model-servers"


def test_versions_beyond_those_kept_for_rollback_go(host: Host) -> None:
    before = used_bytes(host)

    found = prune(host)

    assert [(one.kind, one.what) for one in found] == [(Kind.VERSION, "cat@1.0.0")]
    assert set(host.model_store.installed()) == {*CATS[1:], DOG}
    # Records are not counted.
    assert 0 <= before - used_bytes(host) - found[0].size_bytes < 8000


def test_looking_touches_nothing(host: Host) -> None:
    before = sorted(host.root.rglob("*"))

    assert len(look(host, keep=0)) == 4

    assert sorted(host.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        pytest.param(0, {CATS[3]}, id="none"),
        pytest.param(1, {CATS[2], CATS[3], DOG}, id="one"),
        pytest.param(9, {*CATS, DOG}, id="many"),
    ],
)
def test_so_many_versions_are_kept_as_are_asked_for(
    host: Host, keep: int, left: set[Ref]
) -> None:
    prune(host, keep=keep)

    assert set(host.model_store.installed()) == left


def test_what_the_profile_or_a_pin_names_stays(host: Host) -> None:
    prune(host, CATS[0], keep=0)

    assert set(host.model_store.installed()) == {CATS[0], CATS[3]}


def test_a_version_that_is_served_stays_whoever_asked_for_it(host: Host) -> None:
    host.register(CATS[0])

    prune(host, keep=0)

    assert set(host.model_store.installed()) == {CATS[0], CATS[3]}


def test_those_that_stay_are_whole(host: Host) -> None:
    prune(host, keep=1)

    class Quiet:
        def checking(self, key: str, size_bytes: int):
            return lambda count: None

    verify = Verify(
        trees=LocalTrees(host.root, python=sys.executable),
        store=host.store,
        releases=host.releases,
    )
    assert verify.run(Quiet()).rots == []


def test_a_tree_that_lost_its_name_goes(host: Host) -> None:
    sha256 = host.release(DOG).archive.sha256
    host.entry(DOG).unlink()

    found = prune(host)

    orphans = {one.what: one.kind for one in found if one.ref is None}
    made = {Layout.DIR: f"work/{sha256}", Layout.MAR: f"archives/{DOG.entry}.json"}
    assert orphans == {
        str(home(host) / "trees" / sha256): Kind.TREE,
        str(home(host) / "trees" / f"{sha256}.json"): Kind.TREE,
        str(home(host) / made[host.layout]): Kind.TREE,
    }


def fetched_ahead(host: Host, ref: Ref) -> Release:
    """Have a release on the disk as an interrupted run leaves it."""
    host.publish(ref, files={"checkpoint.pt": str(ref).encode() * 500})
    release = host.release(ref)
    chunks = ReleasedBytes(host.store, release).chunks
    host.model_store.fetch(release, chunks=chunks, on_bytes=lambda count: None)
    return release


@pytest.mark.parametrize("knows", [True, False])
def test_what_was_fetched_ahead_of_its_turn_stays_while_it_is_wanted(
    host: Host,
    knows: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    ref = Ref.parse("owl@1.0.0")
    release = fetched_ahead(host, ref)

    prune(host, *([ref] if knows else []), unsure=[] if knows else ["owl"])

    assert host.model_store.missing_bytes(release) == 0
    found = prune(host)
    trees = home(host) / "trees"
    assert {one.what for one in found} == {
        str(trees / release.archive.sha256),
        str(trees / f"{release.archive.sha256}.json"),
    }


def test_what_was_fetched_for_others_does_not_stay(host: Host) -> None:
    release = fetched_ahead(host, Ref.parse("owl@1.0.0"))

    prune(host, Ref.parse("owl@2.0.0"), unsure=["cat", "dog"])

    assert host.model_store.missing_bytes(release) > 0


def test_a_tree_that_nobody_knows_goes(host: Host) -> None:
    ref = Ref.parse("owl@1.0.0")
    sha256 = fetched_ahead(host, ref).archive.sha256
    (home(host) / "trees" / f"{sha256}.json").write_text("{")

    prune(host, ref, unsure=["owl"])

    assert not (home(host) / "trees" / sha256).exists()


def test_partial_downloads_go_once_nobody_will_go_on_with_them(host: Host) -> None:
    for name, days in (("old", 2), ("young", 0.5)):
        partial = home(host) / "trees" / f".partial-{name}"
        partial.mkdir()
        (partial / "weights").write_bytes(b"x" * 100)
        age(partial, NOW_S - days * DAY_S)

    found = prune(host, keep=9)

    assert found == [
        Prunable(
            kind=Kind.PARTIAL,
            what=str(home(host) / "trees" / ".partial-old"),
            size_bytes=100,
        )
    ]


@pytest.mark.parametrize("layout", [Layout.DIR], indirect=True)
def test_requirements_go_with_the_last_version_that_wants_them(host: Host) -> None:
    folder = home(host) / "requirements"
    for digest, refs in (("both", CATS[:1] + CATS[3:]), ("first", CATS[:1])):
        (folder / digest / f"{digest}_package").mkdir(parents=True)
        (folder / f"{digest}.log").write_text("pip said so")
        for ref in refs:
            link = (host.root / ref.entry).resolve() / f"{digest}_package"
            link.symlink_to(folder / digest / f"{digest}_package")

    found = prune(host)

    assert {one.what for one in found if one.kind is Kind.REQUIREMENTS} == {
        str(folder / "first"),
        str(folder / "first.log"),
    }
    assert (folder / "both" / "both_package").is_dir()


@pytest.mark.parametrize("layout", [Layout.MAR], indirect=True)
def test_requirements_that_an_archive_was_packed_with_stay_for_the_next_time(
    host: Host,
) -> None:
    packages = home(host) / "requirements"
    for name in ("needed", "other"):
        (packages / name).mkdir(parents=True)
    record = home(host) / "archives" / f"{CATS[3].entry}.json"
    packed = json.loads(record.read_bytes())
    record.write_text(json.dumps({**packed, "requirements": "needed"}))

    found = prune(host)

    assert [one.what for one in found if one.kind is Kind.REQUIREMENTS] == [
        str(packages / "other")
    ]


def test_what_a_killed_sync_has_not_finished_goes_after_a_day(host: Host) -> None:
    for name, days in (("old", 2), ("young", 0.5)):
        partial = host.root / f".{name}-1.0.mar.0123.partial"
        partial.write_bytes(b"x" * 100)
        age(partial, NOW_S - days * DAY_S)

    found = prune(host, keep=9)

    old = host.root / ".old-1.0.mar.0123.partial"
    assert found == [Prunable(kind=Kind.PARTIAL, what=str(old), size_bytes=100)]


def test_what_a_killed_torchserve_left_in_its_temp_goes(
    host: Host, tmp_path: Path
) -> None:
    temp = tmp_path / "temp-of-java"
    old, young = temp / "models" / "0123", temp / "models" / "4567"
    broken = temp / "models89.download"
    for folder in (old, young, broken):
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"x" * 10)
    (old / "link").symlink_to(host.entry(DOG))
    for folder in (old, broken):
        os.utime(folder, (NOW_S - DAY_S, NOW_S - DAY_S))
    os.utime(young, (NOW_S - 60, NOW_S - 60))

    found = prune(host, keep=9, temp=temp)

    assert {one.what for one in found} == {str(old), str(broken)}
    assert {one.kind for one in found} == {Kind.TEMP}
    assert young.is_dir()
    assert host.entry(DOG).exists()


def test_the_latest_to_come_are_kept_not_the_highest() -> None:
    installed = {CATS[0]: 9.0, CATS[1]: 1.0, CATS[2]: 2.0, DOG: 0.0}

    assert beyond_keep(installed, [], keep=1) == [CATS[2], CATS[1]]


def test_a_version_with_settings_of_this_host_is_no_orphan(host: Host) -> None:
    host.install(CATS[3], batchSize=7)

    prune(host, keep=0)

    assert host.model_store.serving(CATS[3]).batch_size == 7
