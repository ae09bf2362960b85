"""What a model store remembers: answers, overlays, owners, and who is at work."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.installing import BOTH_LAYOUTS, TINY, Blob, files_in, install
from model_servers.adapters.model_store import LocalModelStore
from model_servers.core.golden import GoldenCase, Request
from model_servers.core.host import Installed
from model_servers.core.spec import Serving
from model_servers.errors import OutsideError, RefusedError, RequestError


@BOTH_LAYOUTS
def test_what_it_asks_of_torchserve_and_its_golden_cases_are_read(
    model_store: LocalModelStore, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob(
        files={
            "golden/a_file.yaml": (
                "schema: 1\n"
                "request: {content_type: image/png, file: cat.png}\n"
                'expect: {json: {"label": "cat"}}\n'
            ),
            "golden/cat.png": b"\x89PNG",
        }
    )
    install(model_store, blob)

    assert model_store.serving(TINY) == Serving(
        min_workers=1,
        max_workers=1,
        batch_size=4,
        max_batch_delay_ms=5,
        response_timeout_s=30,
    )
    assert model_store.golden_cases(TINY) == [
        GoldenCase(
            name="a_file",
            request=Request(content_type="image/png", body=b"\x89PNG"),
            expected={"label": "cat"},
            tolerance={},
        ),
        GoldenCase(
            name="case",
            request=Request(content_type="application/json", body=b"[1,2]"),
            expected=[1, 2],
            tolerance={},
        ),
    ]


def test_that_a_release_answered_is_remembered(
    root: Path, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()
    model_store = LocalModelStore(root, python=sys.executable)
    install(model_store, blob)

    model_store.mark_answered(TINY)

    sha256 = blob.release.archive.sha256
    again = LocalModelStore(root, python=sys.executable)
    assert again.installed() == {TINY: Installed(sha256=sha256, answered=True)}


def test_the_handlers_report_is_read_and_forgotten(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    install(model_store, make_blob())

    assert model_store.load_error(TINY) is None
    model_store.clear_load_error(TINY)

    (root / "tiny-1.0.0" / "load-error.txt").write_text("no module named 'x'\n")
    assert model_store.load_error(TINY) == "no module named 'x'"
    model_store.clear_load_error(TINY)
    assert model_store.load_error(TINY) is None


def _overlaid(
    model_store: LocalModelStore, blob: Blob, overlay: dict[str, object]
) -> None:
    model_store.install(
        blob.release,
        chunks=blob.chunks,
        on_bytes=lambda count: None,
        overlay=overlay,
    )


def test_an_overlay_changes_the_config_that_is_registered_and_not_the_tree(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob(config={"batchSize": 4, "minWorkers": 1, "maxWorkers": 1})
    overlay = {"minWorkers": 2, "maxWorkers": 2, "deviceIds": [1]}

    _overlaid(model_store, blob, overlay)

    assert model_store.installed()[TINY].overlay == overlay
    serving = model_store.serving(TINY)
    assert (serving.batch_size, serving.min_workers) == (4, 2)
    tree = root / ".model-servers" / "trees" / blob.release.archive.sha256
    assert "deviceIds" not in (tree / "model-config.yaml").read_text("utf-8")
    assert "deviceIds" in (root / "tiny-1.0.0" / "model-config.yaml").read_text("utf-8")


def test_another_overlay_needs_no_bytes_and_leaves_what_runs_alone(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()
    _overlaid(model_store, blob, {"batchSize": 2})
    running = (root / "tiny-1.0.0").resolve()
    before = files_in(running)
    model_store.mark_answered(TINY)
    blob.ranges.clear()

    _overlaid(model_store, blob, {"batchSize": 8})

    assert blob.ranges == []
    assert files_in(running) == before
    assert model_store.serving(TINY).batch_size == 8
    assert model_store.installed()[TINY].answered
    install(model_store, blob)
    assert model_store.installed()[TINY].overlay == {}


@BOTH_LAYOUTS
def test_an_installed_release_is_known_without_its_store(
    model_store: LocalModelStore, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()
    assert model_store.release(TINY) is None

    _overlaid(model_store, blob, {"batchSize": 2})

    assert model_store.release(TINY) == blob.release


def test_what_is_forgotten_leaves_no_overlay_behind(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    for overlay in ({"batchSize": 2}, {}):
        _overlaid(model_store, make_blob(), overlay)

    model_store.forget(TINY)

    assert os.listdir(root / ".model-servers" / "work") == []  # noqa: PTH208
    assert model_store.installed() == {}


@BOTH_LAYOUTS
def test_a_second_sync_is_refused_and_the_first_one_named(
    model_store: LocalModelStore, root: Path
) -> None:
    other = LocalModelStore(root, python=sys.executable)

    with (
        model_store.locked(),
        pytest.raises(RefusedError) as caught,
        other.locked(),
    ):
        pytest.fail("there are two of them")

    assert str(caught.value) == (
        f"another ms is at work on {root}: process {os.getpid()}"
    )
    assert caught.value.hint == "wait until it is done, or stop it"
    with other.locked():
        pass


def test_who_makes_room_on_a_full_disk_gets_the_lock(
    model_store: LocalModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with model_store.locked():
        pass
    monkeypatch.setattr(os, "pwrite", full)

    with model_store.locked(), pytest.raises(RefusedError), model_store.locked():
        pytest.fail("there are two of them")


def test_a_record_of_a_newer_ms_is_refused(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    blob = make_blob()
    install(model_store, blob)
    (record,) = (root / ".model-servers" / "trees").glob("*.json")
    record.chmod(0o644)
    record.write_text(json.dumps({**json.loads(record.read_bytes()), "schema": 2}))

    with pytest.raises(RequestError) as caught:
        model_store.release(TINY)

    assert str(record) in str(caught.value)


def test_a_damaged_record_of_one_version_stops_no_other(
    model_store: LocalModelStore, root: Path, make_blob: Callable[..., Blob]
) -> None:
    install(model_store, make_blob())
    (record,) = (root / ".model-servers" / "trees").glob("*.json")
    record.chmod(0o644)
    record.write_text("rotten")
    later = make_blob(version="1.1.0")

    fetched = install(model_store, later)

    assert fetched > 0
    assert later.release.ref in model_store.installed()
    with pytest.raises(OutsideError) as caught:
        model_store.release(TINY)
    assert caught.value.hint == "the file is damaged; `ms sync verify` mends it"
