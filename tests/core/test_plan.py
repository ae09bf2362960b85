"""The planner: what a host must do, from what it serves to what is wanted."""

from __future__ import annotations

import pytest

from core.planning import (
    A1,
    A2,
    A3,
    B1,
    FOREIGN,
    INSTALL_A1,
    INSTALL_A2,
    NO_LONGER,
    SIZE,
    change,
    desired,
    foreign,
    host,
    installed,
    planned,
    release,
    served,
    sha256,
)
from model_servers.cli.host.report import plan_text
from model_servers.core.host import Wanted
from model_servers.core.names import Ref, Version
from model_servers.core.plan import (
    Drain,
    Install,
    Plan,
    Probe,
    Register,
    Revive,
    SetDefault,
    Sign,
    Unregister,
    plan,
)


@pytest.mark.parametrize(
    ("wanted", "observed", "expected"),
    [
        pytest.param([], host(on_disk={}), [], id="nothing wanted, nothing there"),
        pytest.param(
            [A1],
            host(on_disk={}),
            [change(Sign.ADD, None, "1.0", INSTALL_A1, Register(A1), Probe(A1))],
            id="add: a model that is not there",
        ),
        pytest.param(
            [A1],
            host(on_disk=installed(A1)),
            [change(Sign.ADD, None, "1.0", Register(A1), Probe(A1))],
            id="add: what is on the disk is not fetched again",
        ),
        pytest.param(
            [A1],
            host(on_disk=installed(A1, kind="other")),
            [change(Sign.ADD, None, "1.0", INSTALL_A1, Register(A1), Probe(A1))],
            id="add: other bytes on the disk are replaced",
        ),
        pytest.param(
            [A1],
            host(served(A1), on_disk=installed(A1)),
            [change(Sign.KEEP, "1.0", "1.0")],
            id="keep: it serves and has answered",
        ),
        pytest.param(
            [A2],
            host(served(A1), on_disk=installed(A1)),
            [
                change(
                    Sign.CHANGE,
                    "1.0",
                    "2.0",
                    INSTALL_A2,
                    Register(A2),
                    Probe(A2),
                    SetDefault(A2),
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                )
            ],
            id="change: the new one answers before the old one goes",
        ),
        pytest.param(
            [A1],
            host(served(A2), on_disk=installed(A1, A2)),
            [
                change(
                    Sign.CHANGE,
                    "2.0",
                    "1.0",
                    Register(A1),
                    Probe(A1),
                    SetDefault(A1),
                    Drain("a", "2.0"),
                    Unregister("a", "2.0"),
                )
            ],
            id="change: back to what is still on the disk, without the store",
        ),
        pytest.param(
            [A2],
            host(
                served(A1),
                served(A2, is_default=False),
                on_disk=installed(A1) | installed(A2, answered=False),
            ),
            [
                change(
                    Sign.CHANGE,
                    "1.0",
                    "2.0",
                    Probe(A2),
                    SetDefault(A2),
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                )
            ],
            id="change: goes on where it was interrupted",
        ),
        pytest.param(
            [A2],
            host(
                served(A1, is_default=False),
                served(A2),
                on_disk=installed(A1, A2),
            ),
            [
                change(
                    Sign.REPAIR,
                    "2.0",
                    "2.0",
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                )
            ],
            id="repair: an old version that stayed behind",
        ),
        pytest.param(
            [A1],
            host(served(A1, workers_ready=0), on_disk=installed(A1)),
            [change(Sign.REPAIR, "1.0", "1.0", Revive(A1), Probe(A1))],
            id="repair: not ready",
        ),
        pytest.param(
            [A1],
            host(served(A1, workers=0, workers_ready=0), on_disk=installed(A1)),
            [change(Sign.REPAIR, "1.0", "1.0", Revive(A1), Probe(A1))],
            id="repair: scaled to nothing",
        ),
        pytest.param(
            [A1],
            host(served(A1), on_disk=installed(A1, answered=False)),
            [change(Sign.REPAIR, "1.0", "1.0", Probe(A1))],
            id="repair: it has never answered its golden requests here",
        ),
        pytest.param(
            [A1],
            host(served(A1), on_disk=installed(B1)),
            [
                change(
                    Sign.REPAIR,
                    "1.0",
                    "1.0",
                    Unregister("a", "1.0"),
                    INSTALL_A1,
                    Register(A1),
                    Probe(A1),
                    reason="its files are gone from the model store",
                    downtime="its files are gone from the model store",
                )
            ],
            id="repair: files gone",
        ),
        pytest.param(
            [A1],
            host(served(A1), on_disk=installed(A1, kind="other")),
            [
                change(
                    Sign.REPAIR,
                    "1.0",
                    "1.0",
                    Unregister("a", "1.0"),
                    INSTALL_A1,
                    Register(A1),
                    Probe(A1),
                    reason=f"archive {sha256(A1, 'other')[:12]} is installed, "
                    f"{sha256(A1)[:12]} is released",
                    downtime=f"archive {sha256(A1, 'other')[:12]} is installed, "
                    f"{sha256(A1)[:12]} is released",
                )
            ],
            id="repair: other digest",
        ),
        pytest.param(
            [A1],
            host(foreign("1.0"), on_disk=installed(A1)),
            [
                change(
                    Sign.REPAIR,
                    "1.0",
                    "1.0",
                    Unregister("a", "1.0"),
                    Register(A1),
                    Probe(A1),
                    reason=FOREIGN,
                    downtime=FOREIGN,
                )
            ],
            id="repair: registered from elsewhere",
        ),
        pytest.param(
            [A1],
            host(
                foreign("1.0"),
                foreign("old", is_default=False, workers_ready=0),
                foreign("rc-1", is_default=False),
                on_disk={},
            ),
            [
                change(
                    Sign.REPAIR,
                    "1.0",
                    "1.0",
                    SetDefault(Ref("a", Version((0, 0, 0), "rc-1"))),
                    Unregister("a", "1.0"),
                    INSTALL_A1,
                    Register(A1),
                    Probe(A1),
                    SetDefault(A1),
                    Drain("a", "old"),
                    Unregister("a", "old"),
                    Drain("a", "rc-1"),
                    Unregister("a", "rc-1"),
                    reason=FOREIGN,
                    downtime=FOREIGN,
                )
            ],
            id="repair: another version answers while the default is replaced",
        ),
        pytest.param(
            [],
            host(served(A1), on_disk=installed(A1)),
            [
                change(
                    Sign.REMOVE,
                    "1.0",
                    None,
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                    reason=NO_LONGER,
                )
            ],
            id="remove: no longer wanted",
        ),
        pytest.param(
            [],
            host(served(A1), served(A2, is_default=False), on_disk=installed(A2)),
            [
                change(
                    Sign.REMOVE,
                    "1.0",
                    None,
                    Drain("a", "2.0"),
                    Unregister("a", "2.0"),
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                    reason=NO_LONGER,
                )
            ],
            id="remove: the default goes last",
        ),
        pytest.param(
            [],
            host(foreign("1.0"), on_disk=installed(B1)),
            [],
            id="unmanaged: what others registered is left alone",
        ),
        pytest.param(
            [],
            host(on_disk=installed(A1)),
            [],
            id="unmanaged: files alone are no reason to act",
        ),
        pytest.param(
            [B1],
            host(served(A1), on_disk=installed(A1)),
            [
                change(
                    Sign.REMOVE,
                    "1.0",
                    None,
                    Drain("a", "1.0"),
                    Unregister("a", "1.0"),
                    reason=NO_LONGER,
                ),
                change(
                    Sign.ADD,
                    None,
                    "1.0",
                    Install(B1, sha256(B1), SIZE, SIZE),
                    Register(B1),
                    Probe(B1),
                    name="b",
                ),
            ],
            id="several models, by name",
        ),
    ],
)
def test_the_plan_from_what_is_observed_to_what_is_wanted(wanted, observed, expected):
    is_silent = any(one.downtime for one in expected)

    found = planned(desired(*wanted), observed, allow_downtime=is_silent)

    assert found == Plan(tuple(expected))


def test_a_plan_that_changes_nothing_is_empty_but_shows_what_stays():
    kept = planned(desired(A1), host(served(A1), on_disk=installed(A1)))

    assert not kept
    assert kept.pending() == []
    assert [one.sign for one in kept.changes] == [Sign.KEEP]


def test_a_plan_is_named_by_what_it_would_do():
    observed = host(served(A1), on_disk=installed(A1))

    up = planned(desired(A2), observed)

    assert up.digest == planned(desired(A2), observed).digest
    assert up.digest != planned(desired(A3), observed).digest
    assert up.digest != planned(desired(A2), host(on_disk={})).digest
    assert len(up.digest) == 12
    assert up


def test_a_plan_as_json_values_says_everything_a_reviewer_decides_on():
    up = planned(desired(A2), host(served(A1), on_disk=installed(A1)))

    assert up.to_mapping() == [
        {
            "name": "a",
            "sign": "~",
            "before": "1.0",
            "after": "2.0",
            "also": [],
            "why": "",
            "reason": "",
            "hint": "",
            "downtime": "",
            "fetch_bytes": SIZE,
            "full_bytes": SIZE,
            "actions": [
                {
                    "do": "Install",
                    "ref": "a@2.0",
                    "sha256": sha256(A2),
                    "fetch_bytes": SIZE,
                    "full_bytes": SIZE,
                    "overlay": {},
                    "runs_pip": False,
                    "archive": "",
                },
                {"do": "Register", "ref": "a@2.0"},
                {"do": "Probe", "ref": "a@2.0"},
                {"do": "SetDefault", "ref": "a@2.0"},
                {"do": "Drain", "name": "a", "version": "1.0"},
                {"do": "Unregister", "name": "a", "version": "1.0"},
            ],
        }
    ]


def test_a_plan_says_for_which_release_pip_will_run():
    found = plan(
        {"a": Wanted(default=release(A2)), "b": Wanted(default=release(B1))},
        host(served(A1), on_disk=installed(A1)),
        missing_bytes=lambda release: SIZE,
        needs_pip=lambda release: release.ref == A2,
    )

    installs = [one for change in found.changes for one in change.installs]
    assert [(one.ref, one.runs_pip) for one in installs] == [(A2, True), (B1, False)]
    text = plan_text(found, server="http://host")
    assert text.count("to fetch, pip installs its requirements\n") == 1
