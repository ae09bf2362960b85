"""A host for the journeys that change it, with time that passes at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.host import Clock, Host
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


@pytest.fixture
def host(tmp_path: Path, clock: Clock) -> Host:
    """A host that serves nothing; cat@1.0.0, cat@1.10.0 and dog@1.0.0 are released."""
    host = Host(tmp_path, clock)
    host.publish(CAT_1)
    host.publish(
        CAT_2,
        files={"labels.txt": "cat"},
        model={"build": {"extra_files": ["labels.txt"]}},
    )
    host.publish(DOG)
    return host
