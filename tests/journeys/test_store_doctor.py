"""What `ms store doctor` finds out about stores, good ones and others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.store import MemoryStore
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.s3_store import S3Store
from model_servers.core.doctor import Check, State
from model_servers.core.objects import Leftover
from model_servers.errors import OutsideError
from model_servers.journeys.store_doctor import examine
from model_servers.ports import ProbedStore
from servers.proxy import proxy
from servers.s3 import S3Server


def of_state(checks: list[Check], state: State) -> dict[str, Check]:
    return {one.name: one for one in checks if one.state is state}


@pytest.fixture(params=["memory", "local", "radosgw"])
def good(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    s3_store: Callable[[S3Server], S3Store],
) -> ProbedStore:
    match request.param:
        case "memory":
            return MemoryStore()
        case "local":
            return LocalStore(tmp_path / "store")
        case _:
            return s3_store(request.getfixturevalue("radosgw_at"))


def test_a_good_store_passes_and_is_left_as_it_was(good: ProbedStore) -> None:
    good.create("models/cat/1.0.0/release.json", b"{}")

    checks = examine(good)

    assert [one for one in checks if one.state is not State.OK] == []
    assert {one.name for one in checks} >= {
        "create-only writes",
        "create-only race",
        "compare-and-swap",
        "compare-and-swap race",
        "ranged reads",
        "pinned reads",
        "copies by range",
        "checksums",
        "leftovers",
    }
    assert list(good.keys("")) == ["models/cat/1.0.0/release.json"]


def test_nothing_stays_in_a_folder(tmp_path: Path) -> None:
    examine(LocalStore(tmp_path))

    assert [path.name for path in tmp_path.rglob("*")] == [".lock"]


def test_a_server_that_takes_damaged_bodies_is_found_out(
    moto_server: S3Server, s3_store: Callable[[S3Server], S3Store]
) -> None:
    warnings = of_state(examine(s3_store(moto_server)), State.WARNING)

    assert warnings["checksums"].found == "a body that changed on its way is taken"


def test_a_server_that_hears_of_no_condition_is_found_out(
    moto_server: S3Server, s3_store: Callable[..., S3Store]
) -> None:
    with proxy(moto_server.endpoint_url) as between:
        between.dropped_headers = {"if-match", "if-none-match"}
        store = s3_store(moto_server, endpoint_url=between.endpoint_url)

        checks = examine(store)

    assert set(of_state(checks, State.PROBLEM)) == {
        "create-only writes",
        "create-only race",
        "compare-and-swap",
        "compare-and-swap race",
    }
    assert set(of_state(checks, State.WARNING)) >= {"pinned reads"}


def test_the_form_of_the_etag_is_told(
    radosgw_at: S3Server, s3_store: Callable[[S3Server], S3Store]
) -> None:
    checks = {one.name: one.found for one in examine(s3_store(radosgw_at))}

    assert checks["compare-and-swap"] == "If-Match with the ETag without its quotes"


@pytest.mark.parametrize(
    ("store", "problems"),
    [
        pytest.param(
            MemoryStore(overwrites=True),
            {"create-only writes", "create-only race"},
            id="overwrites",
        ),
        pytest.param(
            MemoryStore(swaps_blindly=True),
            {"compare-and-swap", "compare-and-swap race"},
            id="swaps blindly",
        ),
    ],
)
def test_a_store_that_lies_about_conditions_is_found_out(
    store: MemoryStore, problems: set[str]
) -> None:
    found = of_state(examine(store), State.PROBLEM)

    assert set(found) == problems
    assert all(one.expected and one.fix for one in found.values())
    assert store.objects == {}


def test_a_store_that_does_not_copy_is_usable_and_slow() -> None:
    checks = examine(MemoryStore(cannot_copy="NotImplemented"))

    assert of_state(checks, State.PROBLEM) == {}
    assert of_state(checks, State.WARNING)["copies by range"].found == "NotImplemented"


def test_uploads_that_nobody_finishes_are_counted() -> None:
    store = MemoryStore()
    store.left = [
        Leftover(key="a", handle="1", is_abandoned=True),
        Leftover(key="b", handle="2", is_abandoned=False),
    ]

    leftovers = of_state(examine(store), State.WARNING)["leftovers"]

    assert leftovers.found.startswith("1 uploads that nobody finishes")
    assert "ms publish" in leftovers.fix


class Denying(MemoryStore):
    """A store whose credentials do not allow one method."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self._denied = method

    def _called(self, method: str, key: str) -> None:
        if method == self._denied:
            raise OutsideError(f"AccessDenied: {method} {key}", hint="allow it")
        super()._called(method, key)


def test_who_may_not_delete_is_told_what_is_left() -> None:
    removed = of_state(examine(Denying("delete")), State.WARNING)["probes removed"]

    assert "AccessDenied" in removed.found
    assert "memory://store/probe/" in removed.fix


def test_what_fails_is_a_problem_and_the_rest_is_probed_all_the_same() -> None:
    store = Denying("swap")

    found = of_state(examine(store), State.PROBLEM)

    assert set(found) == {"compare-and-swap", "compare-and-swap race"}
    assert all(one.fix == "allow it" for one in found.values())
    assert store.objects == {}


@pytest.mark.parametrize("method", ["keys", "create"])
def test_a_store_that_cannot_be_read_or_written_is_no_finding(method: str) -> None:
    with pytest.raises(OutsideError, match="AccessDenied"):
        examine(Denying(method))
