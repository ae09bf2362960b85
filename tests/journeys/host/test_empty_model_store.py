"""A model store that is not mounted takes nothing off that answers."""

from __future__ import annotations

import shutil

import pytest

from fakes.host import Host
from model_servers.core.guards import Override

SERVED = {"cat": ("1.0.0", ["1.0.0"]), "dog": ("1.0.0", ["1.0.0"])}


@pytest.fixture
def unmounted(host: Host) -> Host:
    """A host that answers, whose model store is a folder with nothing in it."""
    host.apply({"cat": "1.0.0", "dog": "1.0.0"})
    shutil.rmtree(host.root)
    host.root.mkdir()
    return host


def test_what_answers_is_not_loaded_anew_from_an_empty_model_store(
    unmounted: Host,
) -> None:
    unmounted.apply({"cat": "1.0.0", "dog": "1.0.0"})

    refused = unmounted.plan({"cat": "1.0.0", "dog": "1.0.0"})[0].refused()
    assert [one.reason for one in refused] == [
        f"{name} would not answer for a while: nothing is installed in the model "
        "store; model_store in the host profile is wrong, or its disk is not mounted"
        for name in ("cat", "dog")
    ]
    assert unmounted.state() == SERVED
    assert list(unmounted.root.glob("[!.]*")) == []


def test_an_empty_model_store_is_filled_anew_if_that_is_meant(unmounted: Host) -> None:
    wanted = {"cat": "1.0.0", "dog": "1.0.0"}

    unmounted.apply(wanted, None, Override.DOWNTIME)

    assert unmounted.state() == SERVED
    assert not unmounted.plan(wanted)[0]


def test_what_does_not_answer_is_brought_back_from_an_empty_model_store(
    unmounted: Host,
) -> None:
    unmounted.server.kill_workers("cat", "1.0.0")
    unmounted.server.kill_workers("dog", "1.0.0")

    unmounted.apply({"cat": "1.0.0", "dog": "1.0.0"})

    assert unmounted.state() == SERVED
