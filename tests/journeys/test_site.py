"""Where the catalogue gets its facts from."""

import json

import pytest

import zoo
from fakes.store import MemoryStore
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.releases import StoredReleases
from model_servers.journeys.site import Site


class Shown:
    """Pages that are only remembered."""

    def write(self, catalogue):
        self.catalogue = catalogue


@pytest.fixture
def collect(tmp_path):
    zoo.make_model(tmp_path / "registry")

    def run(store=None):
        journey = Site(
            registry=Checkout(tmp_path / "registry"),
            store=store,
            releases=store and StoredReleases(store),
            commit_dates=lambda commits: {},
            pages=Shown(),
        )
        return journey.write(title="Models")

    return run


@pytest.mark.parametrize(
    ("address", "shown"),
    [("s3://bucket/prefix", "s3://bucket/prefix"), ("file:///home/me/store", None)],
)
def test_a_folder_of_this_machine_is_not_shown_to_others(collect, address, shown):
    store = MemoryStore()
    store.address = address

    assert collect(store).store == shown


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'{"channel": 5, "models": {}}',
        b'{"channel": "x", "models": {"tiny": "one"}}',
        json.dumps({"channel": "x", "models": ["tiny"]}).encode(),
    ],
)
def test_a_damaged_channel_takes_no_page_away(collect, body):
    store = MemoryStore()
    store.swap("channels/x.json", body, None)

    assert [model.name for model in collect(store).models] == ["tiny"]


def test_a_picture_or_request_outside_the_model_is_not_read(collect, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\nsecret")
    folder = tmp_path / "registry" / "tiny"
    (folder / "golden" / "secret.png").symlink_to(tmp_path / "secret.png")
    case = {"content_type": "image/png", "file": "secret.png"}
    (folder / "golden" / "leak.yaml").write_text(
        zoo.as_yaml({**zoo.CASE, "request": case})
    )
    (folder / "README.md").symlink_to(tmp_path / "secret.png")

    [model] = collect().models

    assert [one.case for one in model.about.examples] == ["case"]
    assert model.about.pictures == {}
    assert model.about.card == ""
