"""The TorchServe that serves a model store is found among this machine's processes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from model_servers.adapters.frontends import serving_from, using_temp
from model_servers.adapters.torchserve_process import torchserve
from model_servers.core.frontend import model_store_of, properties, temp_of


@pytest.mark.torchserve
def test_a_running_torchserve_is_found_by_its_model_store(tmp_path: Path) -> None:
    store = tmp_path / "modèles"
    store.mkdir()
    (tmp_path / "link").symlink_to(store)
    with torchserve(store, logs=tmp_path / "logs") as addresses:
        found = serving_from(tmp_path / "link")
        uses_temp = using_temp(addresses.temp)

    assert found is not None
    assert found.temp == str(addresses.temp)
    assert found.config["management_address"] == addresses.management
    assert "-ncs" in found.flags
    assert 0 < time.time() - found.started_s < 120
    assert found.environment is not None
    assert found.environment["TMPDIR"] == str(addresses.temp)
    assert uses_temp


def test_a_folder_that_nobody_serves_has_no_torchserve(tmp_path: Path) -> None:
    assert serving_from(tmp_path) is None
    assert not using_temp(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "config", "found"),
    [
        pytest.param(["-s", "/a"], {"model_store": "/b"}, "/a", id="a flag wins"),
        pytest.param(["-f", "c"], {"model_store": "/b"}, "/b", id="the config"),
        pytest.param(["-s"], {}, None, id="neither"),
    ],
)
def test_the_model_store_is_where_torchserve_looks_for_it(arguments, config, found):
    assert model_store_of(arguments, config) == found


def test_the_last_word_of_the_temp_folder_counts():
    arguments = ["-Djava.io.tmpdir=/a", "-Djava.io.tmpdir=/b", "x"]

    assert temp_of(arguments, default="/c") == "/b"
    assert temp_of([], default="/c") == "/c"


def test_a_config_with_comments_blanks_and_escapes_is_read():
    text = "# why\n! too\n\n a = b=c \nmodel_store=C\\:/m\\u00e9\nempty=\n"

    assert properties(text) == {"a": "b=c", "model_store": "C:/mé", "empty": ""}
