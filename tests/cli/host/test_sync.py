"""``ms sync`` on the command line: what operators and programs read."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from model_servers.adapters.host_memory import FileHostMemory
from model_servers.cli.main import main
from model_servers.core.memory import Memory, Pin
from model_servers.core.names import Version
from servers.idle import idle_torchserve

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture
def ms(capsys):
    """Run ``ms``: exit status, stdout, stderr."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(status), captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with my_network@1.0."""
    store = tmp_path_factory.mktemp("releases") / "store"
    registry = str(CHECKOUT / "registry")
    publish = ["publish", "my_network", "--registry", registry, "--store"]
    assert main([*publish, store.as_uri()]) == 0
    return store


@pytest.fixture
def profile(tmp_path, store):
    """A host profile as a mapping; it is written with ``write``."""
    with idle_torchserve() as address:
        document = {
            "schema": 1,
            "store": store.as_uri(),
            "model_store": str(tmp_path / "model_store"),
            "torchserve": {"management": address},
            "models": {"my_network": "latest"},
        }
        (tmp_path / "model_store").mkdir()
        yield document


@pytest.fixture
def sync(ms, profile, tmp_path):
    """Run ``ms sync`` with a profile that differs from the usual one."""

    def run(command, *arguments, **changes):
        path = tmp_path / "sync.yaml"
        path.write_text(json.dumps({**profile, **changes}))
        return ms("sync", command, *arguments, "--profile", path)

    return run


def test_a_plan_is_text_that_ends_in_its_digest(sync, profile):
    status, out, _ = sync("plan")

    first, _, model, install, *rest, _, last = out.splitlines()
    assert status == 0
    assert first == f"{profile['torchserve']['management']}: 1 to do"
    assert model == "  + my_network@1.0"
    assert install.startswith("      install my_network@1.0 ")
    assert install.endswith(" KiB to fetch")
    assert rest == [
        "      register my_network@1.0 and wait until it is ready",
        "      ask my_network@1.0 its golden requests",
    ]
    assert last.startswith("plan ")


def test_a_plan_for_programs_has_its_digest_sizes_and_reasons(sync):
    status, out, _ = sync("plan", "--json")
    again = sync("plan", "--format", "json")[1]

    plan = json.loads(out)
    (change,) = plan["changes"]
    assert status == 0
    assert json.loads(again) == plan
    assert sync("plan")[1].endswith(f"plan {plan['digest']}\n")
    assert (change["sign"], change["before"], change["after"]) == ("+", None, "1.0")
    assert 0 < change["fetch_bytes"] <= change["full_bytes"]
    assert [one["do"] for one in change["actions"]] == ["Install", "Register", "Probe"]


def test_a_plan_for_a_pull_request_is_a_table(sync):
    models = {"my_network": {"default": "latest", "workers": 2}, "absent": "1.0"}

    status, out, _ = sync("plan", "--format", "markdown", models=models)

    lines = out.splitlines()
    assert status == 4
    assert lines[0].endswith(": 1 to do, 1 refused")
    assert lines[2:4] == [
        "| | model | from | to | to fetch | why |",
        "|---|---|---|---|---|---|",
    ]
    assert lines[4].startswith("| `x` | absent |  |  |  | absent@1.0 is not released")
    assert lines[5].startswith("| `+` | my\\_network |  | 1.0 | ")
    assert any("with minWorkers 2, maxWorkers 2" in line for line in lines)


def test_a_refused_model_is_shown_in_the_plan_and_ends_with_its_status(sync):
    status, out, err = sync("plan", models={"my_network": "2.0"})

    assert status == 4
    assert "  x my_network  (my_network@2.0 is not released in " in out
    assert "ms: my_network stays as it is: my_network@2.0 is not released" in err
    assert "it has 1.0" in err
    assert "hint: publish it with" in err


def test_a_release_that_is_damaged_in_the_store_refuses_its_model_alone(
    sync, store, tmp_path
):
    damaged = tmp_path / "damaged"
    shutil.copytree(store, damaged)
    (damaged / "models/my_network/1.0/release.json").write_text("{")

    status, out, err = sync("plan", store=damaged.as_uri())

    assert status == 4
    assert out.splitlines()[2].startswith(
        f"  x my_network  (my_network@1.0 cannot be read: {damaged.as_uri()}/models/"
    )
    assert out.splitlines()[3] == (
        "      hint: the file is damaged; restore it from a copy of the store"
    )
    assert "ms: my_network stays as it is: my_network@1.0 cannot be read: " in err
    assert (
        "my_network is not in sync: refused: my_network@1.0 cannot be read"
        in (sync("status", store=damaged.as_uri())[1])
    )


def test_a_plan_that_nobody_reviewed_is_not_applied(sync):
    status, _, err = sync("apply", "--plan", "0" * 12)

    assert status == 4
    assert f"{'0' * 12} was reviewed" in err


def test_a_pin_is_planned_shown_and_taken_off_again(sync):
    status, out, err = sync("pin", "my_network", "1.0", "--why", "a demonstration")

    assert status == 0
    assert out.startswith("my_network@1.0 is pinned by ")
    assert out.endswith(": a demonstration\n")
    assert "ms sync apply" in err
    assert ": a demonstration)" in sync("plan")[1]
    assert sync("unpin", "my_network")[0] == 0
    assert "a demonstration" not in sync("plan")[1]
    assert [line.split()[2] for line in sync("history")[1].splitlines()] == [
        "what",
        "pinned",
        "unpinned",
    ]
    assert " -> nothing" not in sync("history")[1]
    events = json.loads(sync("history", "my_network", "--json")[1])
    assert [(one["what"], one["before"], one["after"]) for one in events] == [
        ("pinned", None, "1.0"),
        ("unpinned", "1.0", None),
    ]
    assert sync("history", "other")[1] == "nothing was done to other on this host\n"


def test_what_is_held_back_beside_the_default_is_taken_off_like_a_pin(sync, tmp_path):
    left_out = Pin(
        version=None,
        who="ms",
        when="2026-01-02T03:04:05Z",
        why="wrong",
        bad=Version.parse("0.9"),
        failed=True,
    )
    memory = Memory(held_back={"my_network": (left_out,)})
    FileHostMemory(tmp_path / "model_store", config=None).write(memory)

    assert "0.9 is held back" not in sync("plan")[1]  # nobody asks for it
    status, out, _ = sync("unpin", "my_network")

    assert status == 0
    assert out == (
        "my_network follows the profile again; 0.9 was held back by ms on "
        "2026-01-02T03:04:05Z, until another version than 0.9 is wanted: wrong\n"
    )
    assert sync("unpin", "my_network")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["unpin", "my_network"], "my_network is not pinned", id="unpin"),
        pytest.param(["pin", "other", "1.0"], "does not ask for other", id="model"),
        pytest.param(["pin", "my_network", "one"], "'one' is not MAJOR", id="version"),
        pytest.param(["rollback", "my_network"], "serves no my_network", id="nothing"),
    ],
)
def test_what_cannot_be_asked_for_is_explained(sync, arguments, message):
    status, _, err = sync(*arguments)

    assert status == 2
    assert message in err
    assert "hint: " in err


def test_a_rollback_needs_no_client_of_a_store(sync, monkeypatch):
    monkeypatch.delitem(sys.modules, "model_servers.adapters.s3_store", raising=False)
    monkeypatch.setitem(sys.modules, "boto3", None)  # importing it fails

    status, _, err = sync("rollback", "my_network", "--store", "s3://releases")

    assert status == 2
    assert "this host serves no my_network" in err
    assert "stores in S3 need boto3" in sync("plan", "--store", "s3://releases")[2]


def test_a_host_that_serves_nothing_is_not_ready(sync, tmp_path):
    ready = tmp_path / "model_store" / ".model-servers" / "host" / "ready"
    ready.parent.mkdir(parents=True)
    ready.write_text("{}")

    status, out, _ = sync("status", "--ready")

    assert status == 3
    assert ": not in sync, not healthy" in out
    assert "my_network is not in sync: nothing -> 1.0" in out
    assert "my_network is not healthy: it is not registered" in out
    assert not ready.exists()
    assert sync("status")[0] == 0


def test_a_host_without_its_store_says_what_it_knows(sync, profile, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    # What answers there is no S3.
    endpoint = profile["torchserve"]["management"]
    elsewhere = ["--store", "s3://models", "--endpoint-url", f"{endpoint}/none"]

    status, out, _ = sync("status", "--json", *elsewhere)

    found = json.loads(out)
    assert status == 0
    assert found["store_error"]
    assert (found["in_sync"], found["healthy"], found["models"]) == (False, False, [])


def test_what_torchserve_cannot_load_is_left_out_of_its_start(sync, profile, tmp_path):
    config = tmp_path / "config.properties"
    config.write_text("a=b\n")
    torchserve = {**profile["torchserve"], "config": str(config)}
    memory = Memory(served={"my_network": ("1.0",)})
    FileHostMemory(tmp_path / "model_store", config=None).write(memory)

    status, out, err = sync("boot", torchserve=torchserve)

    boot = tmp_path / "model_store" / ".model-servers" / "host" / "config.properties"
    assert (status, out) == (0, "TorchServe starts with no versions\n")
    assert "note: my_network@1.0 is left out: it cannot be read" in err
    assert "\nload_models=\n" in boot.read_text()


def test_events_that_cannot_be_written_stop_nothing_half_way(sync, tmp_path):
    status, _, err = sync("apply", "--yes", "--events", tmp_path / "no" / "events")

    assert status == 3
    assert "events cannot be written to " in err
    assert not (tmp_path / "model_store" / "my_network-1.0").exists()


def test_what_happens_is_written_as_json_lines(sync, tmp_path):
    log = tmp_path / "events.jsonl"

    status, _, _ = sync("apply", "--yes", "--events", log)

    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert status == 3  # an idle server registers nothing
    assert [one["event"] for one in events] == [
        "starts",
        "fetching",
        "fetched",
        "done",
        "starts",
        "failed",
    ]
    assert events[0]["action"]["do"] == "Install"
    assert events[-1]["model"] == "my_network"
    assert events[-1]["hint"]
    assert all(one["time"].endswith("Z") for one in events)


def test_a_folder_that_is_not_mounted_is_no_empty_store(sync, tmp_path):
    gone = (tmp_path / "not-mounted").as_uri()

    status, out, err = sync("plan", store=gone)

    assert (status, out) == (3, "")
    assert f"there is no store in {tmp_path / 'not-mounted'}" in err
    assert "hint: mount the folder, or correct --store, or the profile's store:" in err
    assert "note: there is no store in" in sync("status", store=gone)[1]


def test_a_status_that_is_not_good_names_the_next_command(sync):
    _, _, err = sync("status")

    assert err == (
        "hint: `ms sync doctor` looks at everything, `ms sync apply` repairs\n"
    )
