"""The planner: versions beside the default, soaks, downtime, settings, refusals."""

from __future__ import annotations

import pytest

from core.planning import (
    A1,
    A2,
    INSTALL_A1,
    INSTALL_A2,
    SIZE,
    change,
    host,
    installed,
    planned,
    release,
    served,
    sha256,
    workers,
)
from model_servers.core.host import Installed, Refusal, Wanted
from model_servers.core.plan import (
    Drain,
    Install,
    Plan,
    Probe,
    Register,
    Scale,
    SetDefault,
    Sign,
    Soak,
    Unregister,
)
from model_servers.core.profile import Update

B2 = {"batchSize": 2}


@pytest.mark.parametrize(
    ("wanted", "observed", "how", "expected"),
    [
        pytest.param(
            Wanted(default=release(A2), also=(release(A1),), why="stable"),
            host(served(A1), on_disk=installed(A1)),
            {},
            change(
                Sign.CHANGE,
                "1.0",
                "2.0",
                INSTALL_A2,
                Register(A2),
                Probe(A2),
                SetDefault(A2),
                also=("1.0",),
                why="stable",
            ),
            id="beside: the old default stays, for those who name it",
        ),
        pytest.param(
            Wanted(default=release(A2), also=(release(A1),)),
            host(served(A2), on_disk=installed(A1, A2)),
            {},
            change(Sign.CHANGE, "2.0", "2.0", Register(A1), Probe(A1), also=("1.0",)),
            id="beside: another version comes",
        ),
        pytest.param(
            Wanted(default=release(A2)),
            host(served(A1), on_disk=installed(A1)),
            {"soak_s": 60.0},
            change(
                Sign.CHANGE,
                "1.0",
                "2.0",
                INSTALL_A2,
                Register(A2),
                Probe(A2),
                SetDefault(A2),
                Soak(A2, 60.0),
                Drain("a", "1.0"),
                Unregister("a", "1.0"),
            ),
            id="soak: the old one can take it back until the new one has soaked",
        ),
        pytest.param(
            Wanted(default=release(A1)),
            host(on_disk={}),
            {"soak_s": 60.0},
            change(Sign.ADD, None, "1.0", INSTALL_A1, Register(A1), Probe(A1)),
            id="soak: there is nothing to go back to",
        ),
        pytest.param(
            Wanted(default=release(A2), update=Update.RESOURCE),
            host(served(A1), on_disk=installed(A1)),
            {},
            change(
                Sign.REFUSE,
                "1.0",
                "1.0",
                reason="a would not answer for a while: 1.0 goes before 2.0 comes",
                hint="add --allow-downtime, or say `allow_downtime: true` in the "
                "policy of the host profile",
            ),
            id="resource: to go down is announced, and somebody must allow it",
        ),
        pytest.param(
            Wanted(default=release(A2), update=Update.RESOURCE),
            host(served(A1), on_disk=installed(A1)),
            {"allow_downtime": True},
            change(
                Sign.CHANGE,
                "1.0",
                "2.0",
                INSTALL_A2,
                Drain("a", "1.0"),
                Unregister("a", "1.0"),
                Register(A2),
                Probe(A2),
                downtime="1.0 goes before 2.0 comes",
            ),
            id="resource: the old one goes when the new one is on the disk",
        ),
        pytest.param(
            Wanted(default=release(A1), overlay=workers(2)),
            host(
                served(A1),
                on_disk={
                    A1: Installed(sha256=sha256(A1), answered=True, overlay=workers(1))
                },
            ),
            {},
            change(
                Sign.CHANGE,
                "1.0",
                "1.0",
                Install(A1, sha256(A1), SIZE, SIZE, workers(2)),
                Scale(A1, 2),
            ),
            id="settings: workers come and go while it serves",
        ),
        pytest.param(
            Wanted(default=release(A1), overlay=workers(2)),
            host(
                served(A1),
                on_disk={
                    A1: Installed(sha256=sha256(A1), answered=True, overlay=workers(2))
                },
            ),
            {},
            change(Sign.CHANGE, "1.0", "1.0", Scale(A1, 2)),
            id="settings: somebody has scaled it by hand",
        ),
        pytest.param(
            Wanted(default=release(A1), overlay=B2),
            host(served(A1), on_disk=installed(A1)),
            {},
            change(
                Sign.REFUSE,
                "1.0",
                "1.0",
                reason="a would not answer for a while: batchSize the model's own -> 2",
                hint="add --allow-downtime, or say `allow_downtime: true` in the "
                "policy of the host profile",
            ),
            id="settings: others need it to be loaded anew, which somebody must allow",
        ),
        pytest.param(
            Wanted(default=release(A1), overlay=B2),
            host(served(A1), on_disk=installed(A1)),
            {"allow_downtime": True},
            change(
                Sign.CHANGE,
                "1.0",
                "1.0",
                Unregister("a", "1.0"),
                Install(A1, sha256(A1), SIZE, SIZE, B2),
                Register(A1),
                Probe(A1),
                reason="batchSize the model's own -> 2",
                downtime="batchSize the model's own -> 2",
            ),
            id="settings: loaded anew once that is allowed",
        ),
        pytest.param(
            Refusal(reason="nobody knows it", hint="publish it"),
            host(served(A1), on_disk=installed(A1)),
            {},
            change(
                Sign.REFUSE, "1.0", "1.0", reason="nobody knows it", hint="publish it"
            ),
            id="refused: it stays as it is",
        ),
    ],
)
def test_the_plan_for_one_model(wanted, observed, how, expected):
    assert planned({"a": wanted}, observed, **how) == Plan((expected,))
