"""`ms store doctor`, and what `ms publish` makes of a store that overwrites."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_servers.adapters.s3_store import S3Store
from model_servers.cli.main import main
from servers.proxy import proxy
from servers.s3 import S3Server
from zoo import make_model


@pytest.fixture
def liar(
    moto_server: S3Server, s3_store: Callable[..., S3Store]
) -> Iterator[tuple[S3Store, list[str]]]:
    """A store that hears of no condition, and the flags that name it."""
    with proxy(moto_server.endpoint_url) as between:
        between.dropped_headers = {"if-match", "if-none-match"}
        store = s3_store(moto_server)
        yield (
            store,
            ["--store", store.address, "--endpoint-url", between.endpoint_url],
        )


def test_a_folder_is_good_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["store", "doctor", "--store", tmp_path.as_uri()])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert lines[0].split() == ["ok", "address", tmp_path.as_uri()]
    assert lines[-1].endswith("no warnings, no problems")


def test_a_store_that_overwrites_is_a_problem(
    liar: tuple[S3Store, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["store", "doctor", "--json", *liar[1]])

    checks = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert status == 1
    assert checks["create-only writes"] == {
        "name": "create-only writes",
        "state": "problem",
        "found": "what is there can be overwritten, a released version too",
        "expected": "what is there is not overwritten",
        "fix": "publish nothing here; use a store with conditional writes, such as S3 "
        "itself",
    }


def test_nothing_is_released_into_a_store_that_overwrites(
    liar: tuple[S3Store, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, flags = liar
    make_model(tmp_path / "registry", "cat")

    status = main(["publish", "--registry", str(tmp_path / "registry"), *flags])

    assert status == 4
    err = capsys.readouterr().err
    assert f"the store {store.address} overwrites what is there" in err
    assert "`ms store doctor` tells what the store does" in err
    assert list(store.keys("")) == ["index.json"]


def test_a_folder_that_is_not_there_is_told_with_how_to_make_it_and_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "not there"

    status = main(["store", "doctor", "--store", store.as_uri()])

    err = capsys.readouterr().err
    assert status == 3
    assert f"ms: there is no store in {store}\n" in err
    assert err.endswith(f"; if it is to be a new one, mkdir -p '{store}'\n")
    assert not store.exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("file:///dev/null", "ms: /dev/null is no folder\nhint: correct --store"),
        (
            f"file:///{'a' * 300}",
            "File name too long\nhint: check that the folder exists",
        ),
    ],
)
def test_what_can_be_no_store_is_the_outsides_failure(
    url: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["store", "doctor", "--store", url])

    assert status == 3
    assert told in capsys.readouterr().err
