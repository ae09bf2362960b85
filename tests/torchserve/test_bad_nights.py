"""A host while its versions change and something goes wrong: clients notice nothing,
nothing unverified can be seen, and a plain ``ms sync apply`` puts all right."""

from __future__ import annotations

import json
import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_servers.adapters.s3_store import S3Store
from model_servers.adapters.torchserve_api import TorchServeApi
from model_servers.cli.main import main
from model_servers.core.entries import Layout
from servers.proxy import Fault, Proxy, Refusal, proxy
from servers.s3 import S3Server
from torchserve.hosts import (
    KILLED,
    Answered,
    Clients,
    Host,
    publish,
    running,
    unverified,
)

pytestmark = pytest.mark.torchserve

# What an upgrade to a version that is not on the disk does: install, register, probe,
# set-default, drain and unregister, each with its beginning and its end.
BOUNDARIES = 12
VERSIONS = {"1.1": "1.2", "1.2": "1.1"}


IN_ARCHIVES = {"test_a_disk_that_is_full_leaves_the_old_version_answering"}
"""Tests that are tried in archives; in a soak, in both layouts."""

SOAKED = {
    *IN_ARCHIVES,
    "test_killed_anywhere_clients_are_answered_and_the_next_apply_ends_it",
}


def is_soak(kills: int) -> bool:
    """Say whether every place is tried, and not only some."""
    return kills > 2 * BOUNDARIES


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the layouts of the hosts of a test; most are tried in folders alone."""
    name = metafunc.function.__name__
    layouts = list(Layout) if name in SOAKED else []
    if not is_soak(metafunc.config.getoption("--kills")):
        layouts = [Layout.MAR] if name in IN_ARCHIVES else []
    if layouts:
        metafunc.parametrize(
            "host", layouts, indirect=True, ids=lambda layout: layout.value
        )


@pytest.fixture(scope="module")
def host(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Host]:
    """A host that serves 1.1 or 1.2 of cat."""
    folder = tmp_path_factory.mktemp("night")
    publish(folder, 1, 2)
    layout = getattr(request, "param", Layout.DIR)
    with running(Host(folder, layout=layout), wants="1.1") as host:
        yield host


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--kills"))


def ask_for_the_other(host: Host) -> tuple[str, str]:
    """Want the version that is not served and not on the disk; give old and new."""
    ((old, _),) = host.served()
    new = VERSIONS[old]
    host.forget(new)
    host.wants(new)
    return old, new


def assert_converges(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """Assert that a plain apply does all that was wanted, and leaves nothing to do."""
    assert unverified(host.model_store) == []
    assert host.sync() == 0, capsys.readouterr().err
    (wanted,) = host.served()
    assert wanted[1]
    assert unverified(host.model_store) == []
    capsys.readouterr()
    assert host.sync("plan") == 0
    assert "nothing to do" in capsys.readouterr().out


class Defaults:
    """When which version was the default, at the most."""

    def __init__(self, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._spans = [(first, -math.inf, math.inf)]
        set_default = TorchServeApi.set_default

        def noted(api: TorchServeApi, ref) -> None:
            before_s = time.monotonic()
            set_default(api, ref)
            version, since_s, _ = self._spans.pop()
            self._spans.append((version, since_s, time.monotonic()))
            self._spans.append((str(ref.version), before_s, math.inf))

        monkeypatch.setattr(TorchServeApi, "set_default", noted)

    def allow(self, answer: Answered) -> bool:
        """Say whether its version was the default between question and answer."""
        return any(
            answer.version == version
            and answer.asked_s <= until_s
            and answer.told_s >= since_s
            for version, since_s, until_s in self._spans
        )


def test_no_request_fails_while_versions_change_back_and_forth(
    host: Host, kills: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrades = max(2, kills // 5)
    ((wanted, _),) = host.served()
    defaults = Defaults(wanted, monkeypatch)

    with Clients(host.url) as clients:
        for _ in range(upgrades):
            wanted = VERSIONS[wanted]
            host.wants(wanted)
            assert host.sync() == 0
            assert host.served() == [(wanted, True)]

    assert len(clients.answers) > 20 * upgrades
    assert clients.failed() == []
    assert [one for one in clients.answers if not defaults.allow(one)] == []
    assert {one.version for one in clients.answers} == set(VERSIONS)


def test_killed_anywhere_clients_are_answered_and_the_next_apply_ends_it(
    host: Host, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(kills)
    _, new = ask_for_the_other(host)
    whole = host.child("none", 0)
    out, err = whole.communicate()
    assert whole.returncode == 0, err
    events, boundaries = map(int, out.splitlines()[-1].split())
    assert boundaries == BOUNDARIES
    places = [("action", at) for at in range(1, boundaries + 1)]
    places = [chance.choice(places) for _ in range(kills // 2)]
    if is_soak(kills):
        places[:boundaries] = [("action", at) for at in range(1, boundaries + 1)]
    places += [("event", chance.randint(1, events)) for _ in range(kills - len(places))]
    ends: Counter[int] = Counter()

    with Clients(host.url) as clients:
        for kind, at in places:
            old, new = ask_for_the_other(host)
            killed = host.child(f"kill-at-{kind}", at)
            _, err = killed.communicate()
            ends[killed.returncode] += 1
            assert "Traceback" not in err
            assert [version for version, is_default in host.served() if is_default] in (
                [old],
                [new],
            ), (kind, at)
            assert_converges(host, capsys)
            assert host.served() == [(new, True)], (kind, at)
            assert clients.failed() == [], (kind, at)

    assert ends.keys() <= {KILLED, 0}  # a later run may have fewer events
    assert ends[KILLED] > kills / 2


def test_torchserve_killed_meanwhile_comes_back_with_a_version_and_can_be_changed(
    host: Host, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    # The odd boundaries are the beginnings of actions.
    steps = range(1, BOUNDARIES, 2)
    for at in steps if is_soak(kills) else [steps[3]]:
        old, new = ask_for_the_other(host)
        process = host.child("wait-at-action", at)
        assert process.stdout is not None
        while process.stdout.readline() not in ("waits\n", ""):
            pass
        host.kill()
        _, err = process.communicate("go on\n")
        assert process.returncode == 3, (at, err)
        assert "Traceback" not in err

        host.start()
        host.await_default()
        host.wants(new)
        defaults = [version for version, is_default in host.served() if is_default]
        assert defaults == ([old] if at <= steps[3] else [new])
        with Clients(host.url) as clients:
            assert_converges(host, capsys)
        assert host.served() == [(new, True)]
        assert clients.failed() == []


FAULTS = [
    Fault.FLIPPED_BIT,
    Fault.CUT,
    Fault.STALL,
    Fault.RESET,
    Refusal(500, "InternalError"),
    Refusal(503, "SlowDown"),
]


@pytest.fixture
def behind(
    host: Host,
    moto_server: S3Server,
    s3_store: Callable[..., S3Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Proxy]:
    """Let the host read another store: in S3, behind a proxy."""
    # A server that says nothing more is given up soon.
    monkeypatch.setitem(S3Store.__init__.__kwdefaults__, "read_timeout_s", 0.5)
    store = s3_store(moto_server)
    flags = ["--store", store.address, "--endpoint-url", moto_server.endpoint_url]
    publish(tmp_path, 1, 2, flags=flags)
    with proxy(moto_server.endpoint_url) as behind:
        host.flags = ["--store", store.address, "--endpoint-url", behind.endpoint_url]
        yield behind
    host.flags = ()


def test_a_store_that_fails_or_lies_leaves_the_old_version_answering(
    host: Host, behind: Proxy, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = ask_for_the_other(host)
    assert host.sync("plan") == 0
    planned = sum(one.method == "GET" for one in behind.seen)

    with Clients(host.url) as clients:
        for fault in FAULTS:
            # First while the plan is made, then when only the archive is to come.
            for good in (0, planned):
                behind.faults["GET"] = deque([*[None] * good, *[fault] * 1000])
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(time, "sleep", lambda seconds: None)  # between tries
                    assert host.sync() in (3, 4), (fault, good)
                assert host.served() == [(old, True)]
                assert not (host.model_store / f"cat-{new}").exists()
                assert unverified(host.model_store) == []
        behind.faults.clear()
        assert_converges(host, capsys)

    assert host.served() == [(new, True)]
    assert clients.failed() == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Refusal(500, "InternalError"), "answered InternalError: "),
        (Refusal(403, "AccessDenied"), "answered AccessDenied: "),
        (Fault.CUT, "cannot be reached: "),
    ],
)
def test_one_object_that_the_store_cannot_give_refuses_its_model(
    host: Host,
    behind: Proxy,
    capsys: pytest.CaptureFixture[str],
    fault: Fault | Refusal,
    reason: str,
) -> None:
    old, new = ask_for_the_other(host)
    behind.broken[f"/models/cat/{new}/release.json"] = fault
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda seconds: None)  # between tries

        assert host.sync() == 4

    said = capsys.readouterr().err
    assert f"ms: cat stays as it is: cat@{new} cannot be read: " in said
    assert reason in said
    assert host.served() == [(old, True)]


def test_a_second_sync_on_the_host_refuses_and_names_the_first(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    _, new = ask_for_the_other(host)
    first = host.child("wait-at-action", 1)
    assert first.stdout is not None
    while first.stdout.readline() not in ("waits\n", ""):
        pass

    second = host.sync()
    err = capsys.readouterr().err
    seen = host.sync("plan")
    _, first_err = first.communicate("go on\n")

    assert second == 4
    assert f"another ms is at work on {host.model_store}: process {first.pid}\n" in err
    assert seen == 0
    assert first.returncode == 0, first_err
    assert host.served() == [(new, True)]


def test_two_hosts_follow_two_channels_of_one_store(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    def point(**channels: str) -> None:
        document = {"schema": 1, "channels": channels}
        file = host.folder / "registry-2" / "cat" / "channels.yaml"
        file.write_text(json.dumps(document))
        flags = ["--registry", str(file.parents[1]), "--store", host.store]
        assert main(["channels", "publish", *flags]) == 0

    ((old, _),) = host.served()
    new = VERSIONS[old]
    point(stable=old, canary=new)
    host.wants("stable")
    assert host.sync() == 0
    with running(Host(host.folder, name="other"), wants="canary") as other:
        before = host.served(), other.served()
        point(stable=new, canary=new)
        syncs = [one.child("none", 0) for one in (host, other)]
        for sync in syncs:
            _, err = sync.communicate()
            assert sync.returncode == 0, err

        assert before == ([(old, True)], [(new, True)])
        assert (host.served(), other.served()) == ([(new, True)], [(new, True)])
    capsys.readouterr()
    assert host.sync("history", "--json") == 0
    assert json.loads(capsys.readouterr().out)[-1]["why"] == "stable"


# The last one, as its host is another.
def test_a_disk_that_is_full_leaves_the_old_version_answering(
    host: Host, kills: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(kills)
    with Clients(host.url) as clients:
        for at in [1, *(chance.randint(2, 60) for _ in range(max(1, kills // 4)))]:
            old, new = ask_for_the_other(host)
            process = host.child("full-at-event", at)
            _, err = process.communicate()
            assert process.returncode == 3, (at, err)
            assert "Traceback" not in err
            assert old in dict(host.served())
            assert_converges(host, capsys)
            assert clients.failed() == [], at
    assert host.served() == [(new, True)]
