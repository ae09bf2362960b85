"""Channels move to what is released and not yanked, and no move is ever lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fakes.store import MemoryStore
from model_servers.adapters.channels import read_pointer
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.releases import StoredReleases
from model_servers.adapters.s3_store import S3Store
from model_servers.core.channels import Wanted
from model_servers.core.index import Entry, Index
from model_servers.core.lifecycle import Notice, State
from model_servers.core.names import Ref, Version
from model_servers.core.objects import Movable
from model_servers.core.release import release_key
from model_servers.errors import OutsideError, RefusedError, RequestError
from model_servers.journeys.catalog import Catalog
from model_servers.journeys.channels import Channels, wanted_channels
from model_servers.ports import Store
from servers.s3 import S3Server
from zoo import make_model

STABLE = "channels/stable.json"
RELEASED = ("cat@1.0", "cat@1.1", "dog@2.0")


def of(**models: str) -> Wanted:
    """Let each model's channel stable point to a version; "" is no channel."""
    return {
        name: {"stable": Version.parse(text)} if text else {}
        for name, text in models.items()
    }


def channels(store: Store) -> Channels:
    catalog = Catalog(store=store, releases=StoredReleases(store))
    return Channels(store=store, catalog=catalog, read_pointer=read_pointer)


def entry() -> Entry:
    return Entry(archive_sha256="0" * 64, size_bytes=1, inputs_digest="0" * 64)


def fill(store: Store, *refs: str) -> None:
    """Let versions be released, as far as channels look."""
    for ref in refs:
        store.create(release_key(Ref.parse(ref)), b"{}")
    index = Index(generation=1, entries={Ref.parse(ref): entry() for ref in refs})
    store.create("index.json", index.to_bytes())


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    fill(store, *RELEASED)
    return store


def document(store: Store, key: str = STABLE) -> object:
    return json.loads(store.read(key) or b"null")


def test_a_channel_points_to_what_the_models_say(store: MemoryStore) -> None:
    moved = channels(store).publish(of(cat="1.0", dog="2.0"))

    assert document(store) == {
        "schema": 1,
        "channel": "stable",
        "generation": 1,
        "models": {"cat": "1.0", "dog": "2.0"},
    }
    assert [one.after.channel for one in moved] == ["stable"]


def test_going_forward_and_back_grows_the_generation(store: MemoryStore) -> None:
    journey = channels(store)

    for version in ("1.0", "1.1", "1.0"):
        journey.publish(of(cat=version))

    assert document(store) == {
        "schema": 1,
        "channel": "stable",
        "generation": 3,
        "models": {"cat": "1.0"},
    }


def test_publishing_again_writes_nothing(store: MemoryStore) -> None:
    channels(store).publish(of(cat="1.0"))
    store.calls.clear()

    assert channels(store).publish(of(cat="1.0")) == []
    assert store.written == []


def test_a_plan_writes_nothing(store: MemoryStore) -> None:
    before = dict(store.objects)

    planned = channels(store).plan(of(cat="1.0"))

    assert [one.after.generation for one in planned] == [1]
    assert store.objects == before


def test_everything_that_is_not_released_is_named_and_nothing_moves(
    store: MemoryStore,
) -> None:
    wanted = of(cat="3.0", dog="2.0", owl="1.0")

    with pytest.raises(RefusedError) as caught:
        channels(store).publish(wanted)

    assert str(caught.value) == (
        "no channel was moved: cat@3.0 is not released; owl@1.0 is not released"
    )
    assert "ms publish" in caught.value.hint
    assert store.read(STABLE) is None


def test_a_yanked_version_is_refused_with_the_reason(store: MemoryStore) -> None:
    notice = Notice(
        state=State.YANKED,
        reason="wrong labels",
        date="2026-01-02",
        replacement=Version.parse("1.0"),
    )
    channels(store).catalog.note({"cat": {Version.parse("1.1"): notice}})

    with pytest.raises(RefusedError, match=r"wrong labels; use 1\.0"):
        channels(store).publish(of(cat="1.1"))


def test_a_channel_that_points_to_a_yanked_version_does_not_hold_up_others(
    store: MemoryStore,
) -> None:
    journey = channels(store)
    journey.publish(of(cat="1.1"))
    notice = Notice(state=State.YANKED, reason="bad", date="2026-01-02")
    journey.catalog.note({"cat": {Version.parse("1.1"): notice}})

    moved = journey.publish(of(cat="1.1", dog="2.0"))

    assert [list(one.changed) for one in moved] == [["dog"]]


def test_a_short_registry_takes_nothing_out_of_a_channel(store: MemoryStore) -> None:
    channels(store).publish(of(cat="1.0", dog="2.0"))

    assert channels(store).publish(of(dog="2.0")) == []
    channels(store).publish(of(dog="2.0"), prune=True)
    assert document(store) == {
        "schema": 1,
        "channel": "stable",
        "generation": 2,
        "models": {"dog": "2.0"},
    }


def test_a_channel_that_nobody_names_any_more_points_to_nothing(
    store: MemoryStore,
) -> None:
    channels(store).publish(of(cat="1.0"))

    channels(store).publish(of(cat=""))

    assert document(store) == {
        "schema": 1,
        "channel": "stable",
        "generation": 2,
        "models": {},
    }


def test_a_store_that_replaces_without_comparing_is_refused() -> None:
    store = MemoryStore(swaps_blindly=True)
    fill(store, *RELEASED)

    with pytest.raises(RefusedError, match="without comparing"):
        channels(store).publish(of(cat="1.0"))

    assert store.read(STABLE) is None


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"{", OutsideError, "is not JSON"),
        (b'{"schema": 1}', OutsideError, "channels/stable.json"),
        (b'{"schema": 2}', RequestError, "schema is 2"),
        (
            b'{"schema": 1, "channel": "canary", "generation": 1, "models": {}}',
            OutsideError,
            "says that it is the channel canary",
        ),
    ],
)
def test_a_damaged_channel_is_left_alone(
    store: MemoryStore, body: bytes, error: type[Exception], message: str
) -> None:
    store.create(STABLE, body)

    with pytest.raises(error, match=message):
        channels(store).publish(of(cat="1.0"))

    assert store.read(STABLE) == body


@pytest.mark.parametrize("number", range(1, 9))
def test_after_a_failure_at_any_call_running_again_completes_the_move(
    number: int,
) -> None:
    store = MemoryStore()
    fill(store, *RELEASED)
    store.calls.clear()
    store.fail_at = number
    wanted = {"cat": {name: Version.parse("1.0") for name in ("canary", "stable")}}
    with pytest.raises(OutsideError):
        channels(store).publish(wanted)

    channels(store).publish(wanted)

    assert document(store) == {
        "schema": 1,
        "channel": "stable",
        "generation": 1,
        "models": {"cat": "1.0"},
    }


class Gated(LocalStore):
    """Everybody has read the channel before anybody writes it."""

    def __init__(self, root: Path, together: threading.Barrier) -> None:
        super().__init__(root)
        self._together = together
        self._is_first = True

    def read_movable(self, key: str) -> Movable | None:
        found = super().read_movable(key)
        if key == STABLE and self._is_first:
            self._is_first = False
            self._together.wait()
        return found


def test_nine_at_once_agree_and_the_generation_grows_once(tmp_path: Path) -> None:
    fill(LocalStore(tmp_path), *RELEASED)
    together = threading.Barrier(9)
    stores = [Gated(tmp_path, together) for _ in range(9)]

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(lambda each: channels(each).publish(of(cat="1.1")), stores))

    assert document(stores[0]) == {
        "schema": 1,
        "channel": "stable",
        "generation": 1,
        "models": {"cat": "1.1"},
    }


@pytest.fixture(params=["local", "radosgw"])
def real(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    s3_store: Callable[[S3Server], S3Store],
) -> Store:
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    return s3_store(request.getfixturevalue("radosgw_at"))


def test_no_generation_is_given_twice_to_rivals_who_want_different_things(
    real: Store,
) -> None:
    fill(real, *RELEASED)
    generations: list[int] = []

    def back_and_forth(version: str) -> None:
        for _ in range(5):
            for one in channels(real).publish(of(cat=version)):
                generations.append(one.after.generation)  # noqa: PERF401 - as they come

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(back_and_forth, ["1.0", "1.1"] * 2))

    assert sorted(generations) == list(range(1, len(generations) + 1))
    assert document(real)["generation"] == len(generations)


def test_what_the_models_say_is_read_whatever_else_is_wrong_with_them(
    tmp_path: Path,
) -> None:
    said = 'schema: 1\nchannels: {stable: "1.0"}\n'
    make_model(tmp_path, "cat", files={"channels.yaml": said})
    make_model(tmp_path, "dog")
    make_model(
        tmp_path, "owl", files={"model.yaml": "schema: 1", "channels.yaml": said}
    )
    (tmp_path / "remains").mkdir()

    wanted, findings = wanted_channels(Checkout(tmp_path))

    assert wanted == of(cat="1.0", dog="", owl="1.0")
    assert findings == []


def test_channels_that_cannot_be_read_are_findings(tmp_path: Path) -> None:
    said = "schema: 1\nchannels: {latest: '1.0'}\n"
    make_model(tmp_path, "cat", files={"channels.yaml": said})

    _, findings = wanted_channels(Checkout(tmp_path))

    assert [one.path for one in findings] == [f"{tmp_path.name}/cat/channels.yaml"]
