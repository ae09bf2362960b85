"""`ms sync apply` while several releases are fetched: what is seen, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import model_servers
from model_servers.adapters.local_store import LocalStore
from model_servers.adapters.model_store import LocalModelStore
from model_servers.adapters.releases import StoredReleases
from model_servers.cli import watch
from model_servers.cli.main import main
from model_servers.core.changes import Change, Register, Sign
from model_servers.core.names import Ref
from model_servers.journeys.released_bytes import ReleasedBytes
from servers.idle import idle_torchserve
from zoo import make_model

LIMIT_S = 60
TOOLS = Path(model_servers.__file__).parents[1]
CAT, DOG = Ref.parse("cat@1.0.0"), Ref.parse("dog@1.0.0")

# The same program, in which some threads get a little and then nothing for ever.
HANGING = """\
import os
import sys
import threading
from model_servers.adapters.local_store import LocalStore
from model_servers.cli.main import run
from model_servers.journeys.host import ahead
ahead._GRACE_S = 0.5
chunks = LocalStore.chunks
plans = sys.argv.pop(1) == "plan"
def hanging(self, key, offset, length, *, token=None):
    hangs = plans == threading.current_thread().name.startswith("read")
    yield from chunks(self, key, offset, 1 if hangs else length, token=token)
    if hangs:
        os.write(1, b"hangs\\n")  # whole lines, whoever else writes
        threading.Event().wait()
LocalStore.chunks = hanging
run()
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with cat@1.0.0 and dog@1.0.0."""
    folder = tmp_path_factory.mktemp("releases")
    for name in ("cat", "dog"):
        make_model(folder / "registry", name)
    address = (folder / "store").as_uri()
    publish = ["publish", "--registry", str(folder / "registry"), "--store", address]
    assert main(publish) == 0
    return LocalStore(folder / "store")


@pytest.fixture
def profile(tmp_path, store):
    """A host that shall serve both, with a server that registers nothing."""
    (tmp_path / "model_store").mkdir()
    with idle_torchserve() as address:
        document = {
            "schema": 1,
            "store": store.address,
            "model_store": str(tmp_path / "model_store"),
            "torchserve": {"management": address},
            "models": {"cat": "latest", "dog": "latest"},
        }
        (tmp_path / "sync.yaml").write_text(json.dumps(document))
        yield tmp_path / "sync.yaml"


def entries(profile):
    return sorted(path.name for path in profile.parent.glob("model_store/[!.]*"))


def test_two_models_are_fetched_at_once_and_told_in_whole_lines(
    profile, monkeypatch, capsys
):
    meeting, met, chunks = threading.Barrier(2), set(), LocalStore.chunks

    def gated(self, key, offset, length, *, token=None):
        if threading.current_thread() is not threading.main_thread():
            is_first = key not in met
            met.add(key)
            if is_first:
                meeting.wait(LIMIT_S)
        return chunks(self, key, offset, length, token=token)

    monkeypatch.setattr(LocalStore, "chunks", gated)
    log = profile.parent / "events.jsonl"

    status = main(
        ["sync", "apply", "--yes", "--profile", str(profile), "--events", str(log)]
    )

    events = [json.loads(line) for line in log.read_text().splitlines()]
    moves = [(one["event"], one["ref"]) for one in events if "ref" in one]
    assert {ref for event, ref in moves[:2] if event == "fetching"} == {
        "cat@1.0.0",
        "dog@1.0.0",
    }
    assert sorted(moves[2:]) == [("fetched", "cat@1.0.0"), ("fetched", "dog@1.0.0")]
    assert status == 3  # an idle server registers nothing
    assert [one["model"] for one in events if one["event"] == "failed"] == [
        "cat",
        "dog",
    ]
    assert "2 of 2 models failed: cat, dog" in capsys.readouterr().err
    assert entries(profile) == ["cat-1.0.0", "dog-1.0.0"]


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "interrupted; run the same command again"),
        (signal.SIGTERM, 130, "interrupted; run the same command again"),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ],
)
@pytest.mark.parametrize("where", ["plan", "fetch"])
def test_interrupted_it_ends_although_the_store_hangs(
    profile, where, number, status, said
):
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", HANGING, where, "sync", "apply", "--yes"),
            *("--profile", str(profile)),
        ],
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "hangs\n":
            break

    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()

    assert process.returncode == status, err
    assert said in err
    assert entries(profile) == []
    assert main(["sync", "apply", "--yes", "--profile", str(profile)]) == 3
    assert entries(profile) == ["cat-1.0.0", "dog-1.0.0"]


@pytest.fixture
def has_dog(profile, store, releases):
    """A host that has dog@1.0.0 as an interrupted run leaves it."""
    chunks = ReleasedBytes(store, releases[1]).chunks
    LocalModelStore(profile.parent / "model_store", python=sys.executable).fetch(
        releases[1], chunks=chunks, on_bytes=lambda count: None
    )
    return ["--profile", str(profile)]


def test_what_came_ahead_is_not_taken_away_before_its_turn(has_dog, capsys):
    pruned = main(["sync", "prune", "--yes", *has_dog])
    away = main(["sync", "prune", "--yes", *has_dog, "--store", "file:///not/there"])

    captured = capsys.readouterr()
    assert (pruned, away) == (0, 0)
    assert captured.out == "nothing to prune\n" * 2
    assert captured.err.startswith("note: what the profile asks for is not known: ")
    assert main(["sync", "plan", "--json", *has_dog]) == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert {one["name"]: one["fetch_bytes"] > 0 for one in changes} == {
        "cat": True,
        "dog": False,
    }


def test_what_came_for_a_release_that_cannot_be_read_is_not_taken_away(
    has_dog, store, tmp_path, capsys
):
    copy = tmp_path / "copy"
    shutil.copytree(store.address.removeprefix("file://"), copy)
    (copy / "models/dog/1.0.0/release.json").write_text("{")

    assert main(["sync", "prune", "--yes", *has_dog, "--store", copy.as_uri()]) == 0

    captured = capsys.readouterr()
    assert captured.out == "nothing to prune\n"
    assert captured.err.startswith(
        "note: what the profile asks for of dog is not known: dog@1.0.0 cannot be read"
    )


@pytest.fixture
def releases(store):
    found = [StoredReleases(store).find(ref) for ref in (CAT, DOG)]
    assert all(found)
    return found


def fetch_both(console, releases):
    """Fetch two releases, of which the first one ends early."""
    first, second = (console.fetching(one, 4096) for one in releases)
    first(1024)
    second(1024)
    console.fetched(releases[0], is_whole=False)
    console.done(
        Change(name="cat", sign=Sign.ADD, before=None, after="1.0.0", actions=()),
        Register(CAT),
        1.5,
    )
    second(3072)
    console.fetched(releases[1], is_whole=True)


def test_a_terminal_shows_one_bar_for_all_that_is_fetched(
    releases, monkeypatch, capsys
):
    monkeypatch.setattr(watch, "is_watched", lambda: True)

    with watch.watcher() as console:
        console.starts(Register(CAT))
        fetch_both(console, releases)

    shown = [
        part.strip() for part in capsys.readouterr().err.replace("\r", "\n").split("\n")
    ]
    assert any(one.startswith("fetch cat@1.0.0 and 1 more:") for one in shown)
    # What was not fetched of the one that ended is not waited for.
    assert any(one.startswith("fetch dog@1.0.0:") and "/5.00k" in one for one in shown)
    assert "register cat@1.0.0 and wait until it is ready: 1.5 s" in shown
    assert not shown[-1]


def test_nobody_is_shown_bars_in_ci(releases, monkeypatch, capsys):
    monkeypatch.setenv("CI", "true")

    with watch.watcher() as console:
        console.starts(Register(CAT))
        fetch_both(console, releases)

    assert capsys.readouterr().err == (
        "  register cat@1.0.0 and wait until it is ready: 1.5 s\n"
    )
