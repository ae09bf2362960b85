"""A model that is edited while it is served: one version answers at all times."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.server import FakeServer
from model_servers.adapters.checkout import Checkout
from model_servers.adapters.mar import MarWriter
from model_servers.adapters.model_store import LocalModelStore
from model_servers.core.names import Ref
from model_servers.errors import OutsideError
from model_servers.journeys import live as module
from model_servers.journeys import loading
from model_servers.journeys.build import Build
from model_servers.journeys.live import Live
from model_servers.journeys.workbench import Workbench
from zoo import make_model


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass(frozen=True)
class Desk:
    """A registry with one model, and a workbench."""

    registry: Path
    server: FakeServer
    bench: Workbench
    clock: Clock

    def build(self) -> Build:
        """Give a build that has read nothing yet."""
        return Build(registry=Checkout(self.registry), writer=MarWriter())

    def edit(self, text: str) -> None:
        source = self.registry / "tiny" / "handler_model.py"
        source.write_text(f"{source.read_text()}{text}\n")

    def installed(self) -> list[str]:
        return [str(ref) for ref in self.bench.model_store.installed()]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(loading, "time", clock)
    make_model(tmp_path / "registry")
    store = LocalModelStore(tmp_path / "model_store", python=sys.executable)
    server = FakeServer(tmp_path / "model_store")
    bench = Workbench(server=server, model_store=store)
    return Desk(tmp_path / "registry", server, bench, clock)


@pytest.fixture
def live(desk: Desk) -> Live:
    return Live.start(desk.bench, desk.build(), "tiny")


def test_an_edit_is_served_in_the_place_of_what_was(desk: Desk, live: Live) -> None:
    for number in (1, 2):
        desk.edit("# again")

        assert live.reload(desk.build())

        assert live.ref == Ref.parse(f"tiny@0.0.{number}")
        assert desk.server.default("tiny") == f"0.0.{number}"
        assert desk.server.versions("tiny") == [f"0.0.{number}"]
        assert desk.installed() == [f"tiny@0.0.{number}"]


def test_the_old_one_answers_until_the_new_one_is_ready(desk: Desk, live: Live) -> None:
    desk.server.script("tiny-0.0.1", ready_after=3)
    defaults: list[str | None] = []
    desk.server.before_call = lambda _: defaults.append(desk.server.default("tiny"))
    desk.edit("# again")

    live.reload(desk.build())

    changed_at = defaults.index("0.0.1")
    assert changed_at >= 4  # its registration, and three descriptions
    assert set(defaults[:changed_at]) == {"1.0.0"}
    assert set(defaults[changed_at:]) == {"0.0.1"}


def test_a_broken_edit_leaves_what_was(desk: Desk, live: Live) -> None:
    desk.server.script("tiny-0.0.1", ready_after=None, load_error="no luck")
    desk.edit("# broken")

    with pytest.raises(OutsideError, match=r"tiny@0\.0\.1 cannot be loaded: no luck"):
        live.reload(desk.build())

    assert live.ref == Ref.parse("tiny@1.0.0")
    assert desk.server.default("tiny") == "1.0.0"
    assert desk.server.versions("tiny") == ["1.0.0"]
    assert desk.installed() == ["tiny@1.0.0"]

    desk.edit("# mended")
    assert live.reload(desk.build())
    assert desk.server.default("tiny") == "0.0.2"


def test_what_is_not_served_can_be_edited_freely(desk: Desk, live: Live) -> None:
    calls = list(desk.server.calls)
    (desk.registry / "tiny" / "README.md").write_text("About it.\n")

    assert not live.reload(desk.build())

    assert desk.server.calls == calls


def test_requests_that_wait_for_the_old_one_are_answered(
    desk: Desk, live: Live
) -> None:
    waiting = desk.server.waiting("tiny", "1.0.0")
    waiting += [1] * 50  # some are seen while the new one is loaded
    desk.edit("# again")

    live.reload(desk.build())

    assert waiting == []
    assert desk.server.calls[-1] == ("unregister", "tiny", "1.0.0")


def test_a_request_that_waits_forever_does_not_keep_the_old_one(
    desk: Desk, live: Live
) -> None:
    waiting = desk.server.waiting("tiny", "1.0.0")
    waiting += [1] * 1000
    desk.edit("# again")

    live.reload(desk.build())

    assert waiting  # they were not waited for
    assert desk.server.versions("tiny") == ["0.0.1"]


def test_a_model_that_has_the_number_of_an_edit_gets_another(
    desk: Desk, tmp_path: Path
) -> None:
    make_model(tmp_path / "registry", version="0.0.1")
    live = Live.start(desk.bench, desk.build(), "tiny")
    desk.edit("# again")

    live.reload(desk.build())

    assert desk.server.versions("tiny") == ["0.0.2"]
