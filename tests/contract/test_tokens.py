"""Token authorization, of a fake and of a real TorchServe: on, expired, and renewed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.model_store import write_entry
from model_servers.adapters.key_file import KeyFile
from model_servers.adapters.torchserve_api import TorchServeApi
from model_servers.adapters.torchserve_process import torchserve
from model_servers.core.golden import Request
from model_servers.core.names import Ref
from model_servers.errors import OutsideError
from servers.management import guarded_management

ECHO = Ref.parse("echo@1.0")


@dataclass
class Guarded:
    """A server that wants tokens."""

    address: str
    inference: str
    key_file: Path

    def api(self) -> TorchServeApi:
        return TorchServeApi(
            management=self.address,
            inference=self.inference,
            keys=KeyFile(self.key_file),
        )

    def keys(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = json.loads(self.key_file.read_text())
        return found

    def rewrite(self, kind: str, **changes: str) -> None:
        """Let the file say something else than the server knows."""
        keys = self.keys()
        keys[kind] |= {name.replace("_", " "): text for name, text in changes.items()}
        self.key_file.chmod(0o600)
        self.key_file.write_text(json.dumps(keys))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    model_store = tmp_path_factory.mktemp("model_store")
    write_entry(model_store, ECHO)
    with torchserve(
        model_store,
        logs=tmp_path_factory.mktemp("torchserve") / "logs",
        settings={"disable_token_authorization": "false"},
    ) as addresses:
        yield Guarded(
            addresses.management,
            addresses.inference,
            addresses.temp / "key_file.json",
        )


@pytest.fixture(
    params=["fake", pytest.param("torchserve", marks=pytest.mark.torchserve)]
)
def guarded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Guarded]:
    if request.param == "torchserve":
        yield request.getfixturevalue("real")
        return
    with guarded_management(tmp_path / "key_file.json") as (address, _):
        yield Guarded(address, address, tmp_path / "key_file.json")


def test_without_a_key_file_the_server_is_refused_and_the_hint_names_it(
    guarded: Guarded,
) -> None:
    api = TorchServeApi(management=guarded.address, inference=guarded.inference)

    with pytest.raises(OutsideError, match="answered 400") as caught:
        api.served()

    assert "name its key_file in the host profile" in caught.value.hint


def test_with_its_key_file_the_server_answers(guarded: Guarded) -> None:
    assert guarded.api().served() == {}


def test_a_key_that_has_expired_is_renewed(guarded: Guarded) -> None:
    old = guarded.keys()["management"]["key"]
    guarded.rewrite("management", expiration_time="2020-01-01T00:00:00.000000Z")

    assert guarded.api().served() == {}

    assert guarded.keys()["management"]["key"] != old


def test_a_key_that_the_server_does_not_know_is_renewed(guarded: Guarded) -> None:
    guarded.rewrite("management", key="unknown0")

    assert guarded.api().served() == {}

    assert guarded.keys()["management"]["key"] != "unknown0"


def test_predictions_are_asked_with_their_own_key(guarded: Guarded) -> None:
    guarded.rewrite("inference", expiration_time="2020-01-01T00:00:00.000000Z")
    before = guarded.keys()

    status, _ = guarded.api().predict(ECHO, Request(content_type="a/b", body=b"x"))

    assert status == 404
    assert guarded.keys()["inference"]["key"] != before["inference"]["key"]
    assert guarded.keys()["management"] == before["management"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(None, "cannot be read: No such file", id="missing"),
        pytest.param("{", "is damaged", id="no JSON"),
        pytest.param("[]", "it is no key file of TorchServe", id="something else"),
    ],
)
def test_a_key_file_of_no_use_is_an_outside_failure(
    tmp_path: Path, text: str | None, expected: str
) -> None:
    path = tmp_path / "key_file.json"
    if text is not None:
        path.write_text(text)
    api = TorchServeApi(
        management="http://127.0.0.1:1",
        inference="http://127.0.0.1:1",
        keys=KeyFile(path),
    )

    with pytest.raises(OutsideError, match=expected):
        api.served()


def test_a_key_that_another_process_has_renewed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "key_file.json"
    with guarded_management(path) as (address, server):
        guarded = Guarded(address, address, path)
        good = guarded.keys()["management"]["key"]
        guarded.rewrite("management", key="outdated")
        server.on_refusal = lambda: guarded.rewrite("management", key=good)

        assert guarded.api().served() == {}

        assert guarded.keys()["management"]["key"] == good
