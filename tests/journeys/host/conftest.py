"""A host for the journeys that change it, with time that passes at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.host import Clock, Host
from fakes.server import FakeServer
from model_servers.adapters import mar_entries
from model_servers.core.entries import Layout
from model_servers.core.frontend import Frontend
from model_servers.core.names import Ref
from model_servers.journeys import loading
from model_servers.journeys.host import acting, sync

CAT_1, CAT_2 = Ref.parse("cat@1.0.0"), Ref.parse("cat@1.10.0")
DOG = Ref.parse("dog@1.0.0")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (acting, loading, sync):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture(params=Layout, ids=lambda layout: layout.value)
def layout(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """How hosts lay out what they serve; archives are unpacked by the fake server."""

    def seen(model_store: Path) -> Frontend:
        temp = FakeServer(model_store).temp
        return Frontend(pid=1, started_s=0.0, temp=str(temp))

    monkeypatch.setattr(mar_entries, "serving_from", seen)
    found: Layout = request.param
    return found


@pytest.fixture
def host(tmp_path: Path, clock: Clock, layout: Layout) -> Host:
    """A host that serves nothing; cat@1.0.0, cat@1.10.0 and dog@1.0.0 are released."""
    host = Host(tmp_path, clock, layout=layout)
    host.publish(CAT_1)
    host.publish(
        CAT_2,
        files={"labels.txt": "cat"},
        model={"build": {"extra_files": ["labels.txt"]}},
    )
    host.publish(DOG)
    return host
