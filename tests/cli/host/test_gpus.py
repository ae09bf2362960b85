"""`ms sync plan` on hosts with GPUs: what is needed, free, and refused."""

from __future__ import annotations

import json

import pytest

from model_servers.cli.main import main
from servers.management import guarded_management
from zoo import make_model


@pytest.fixture
def ms(tmp_path, capsys):
    """Run ms on a host with an empty TorchServe; small and large are released."""
    registry, store = tmp_path / "registry", (tmp_path / "store").as_uri()
    for name, mib in (("small", 400), ("large", 7000)):
        make_model(registry, name, config={"system": {"maxGPUMemory": mib}})
    assert main(["publish", "--registry", str(registry), "--store", store]) == 0
    capsys.readouterr()
    key_file = tmp_path / "key_file.json"
    with guarded_management(key_file) as (address, _):
        profile = {
            "schema": 1,
            "store": store,
            "model_store": str(tmp_path / "model_store"),
            "torchserve": {
                "management": address,
                "inference": address,
                "key_file": str(key_file),
            },
            "models": {"small": "latest", "large": "latest"},
        }
        (tmp_path / "sync.yaml").write_text(json.dumps(profile))

        def run(*arguments):
            status = main([*arguments, "--profile", str(tmp_path / "sync.yaml")])
            return status, capsys.readouterr()

        yield run


def test_the_plan_shows_each_gpu_and_what_is_refused(ms, gpus):
    gpus.shows([(2400, 500), (6000, 0)])

    status, captured = ms("sync", "plan")

    assert status == 4
    assert "x large  (it does not fit on GPU 0, 1)" in captured.out
    assert captured.out.split("\n\n")[0].splitlines() == [
        (
            "  GPU 0 Stub GPU: 1900 of 2400 MiB free; 0 promised, 1000 at most with "
            "this plan, 512 kept free"
        ),
        (
            "  GPU 1 Stub GPU: 6000 of 6000 MiB free; 0 promised, 0 at most with this "
            "plan, 512 kept free"
        ),
        "  x large is refused: it does not fit on GPU 0, 1",
        "      1 worker of 7000 + 600 MiB each",
        "      GPU 0: 1388 of 2400 MiB free to promise",
        "      GPU 1: 5488 of 6000 MiB free to promise",
        "      hint: give large fewer workers, less maxGPUMemory, or another host",
        "  small@1.0.0 on GPU 0: 1 worker of 1000 MiB",
    ]


def test_a_lost_gpu_is_told_to_whoever_wants_one(ms, gpus, tmp_path):
    profile = json.loads((tmp_path / "sync.yaml").read_text())
    profile["models"]["small"] = {"default": "latest", "device": "cpu"}
    (tmp_path / "sync.yaml").write_text(json.dumps(profile))
    gpus.shows([(9000, 0), (9000, 0)], lost=[1])

    status, captured = ms("sync", "plan")

    reason = "it may use a GPU, and NVML cannot tell about GPU 1: GPU is lost"
    assert status == 4
    assert f"  x large is refused: {reason}" in captured.out.splitlines()
    assert f"  x large  ({reason})" in captured.out.splitlines()
    assert "  + small@1.0.0" in captured.out.splitlines()
    assert "hint: run nvidia-smi; a lost GPU, or a driver" in captured.err


def test_the_plan_as_json_has_the_same(ms, gpus):
    gpus.shows([(2400, 500), (6000, 0)], processes=[(0, 7, 450)])

    _, captured = ms("sync", "plan", "--json")

    found = json.loads(captured.out)["gpus"]
    assert found["placements"] == {
        "small@1.0.0": {
            "device_ids": [0],
            "workers": 1,
            "worker_mib": 1000,
            "estimated": False,
        }
    }
    assert set(found["refused"]) == {"large"}
    assert found["devices"][0] == {
        "index": 0,
        "physical": 0,
        "name": "Stub GPU",
        "uuid": "GPU-stub-0",
        "mig": False,
        "total_mib": 2400,
        "used_mib": 500,
        "free_mib": 1900,
        "processes_mib": {"7": 450},
        "promised_mib": 0,
        "peak_mib": 1000,
        "headroom_mib": 512,
    }


def test_the_digest_is_the_same_while_other_programs_take_and_give_memory(ms, gpus):
    digests = set()
    for used in (0, 300):
        gpus.shows([(3000, used)])
        digests.add(json.loads(ms("sync", "plan", "--json")[1].out)["digest"])

    assert len(digests) == 1


def test_a_cpu_host_says_nothing_of_gpus(ms, gpus):
    _, captured = ms("sync", "plan")

    assert "GPU" not in captured.out
    assert "+ large@1.0.0" in captured.out


def test_gpus_that_torchserve_cannot_be_given_are_said_to_be_so(ms, gpus, monkeypatch):
    gpus.shows([(9000, 0), (9000, 0)], mig=[0])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")

    _, captured = ms("sync", "plan")

    lines = captured.out.split("\n\n")[0].splitlines()
    assert lines[0].startswith("  GPU 0 (number 1) Stub GPU: 9000 of 9000 MiB free")
    assert lines[1] == "  GPU 1 (number 0) Stub GPU: in MIG mode, not used"


def test_the_plan_as_markdown_shows_the_gpus_too(ms, gpus):
    gpus.shows([(9000, 0)])

    _, captured = ms("sync", "plan", "--format", "markdown")

    lines = captured.out.splitlines()
    assert (lines[0], lines[-1][:6]) == ("```", "plan `")
    assert lines[1].startswith("  GPU 0 Stub GPU: 9000 of 9000 MiB free")


def test_a_plan_says_of_which_workers_a_machine_without_gpus_has_too_many(
    ms, tmp_path, monkeypatch
):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    profile = json.loads((tmp_path / "sync.yaml").read_text())
    profile["models"] = {"small": {"default": "latest", "workers": 999}}
    (tmp_path / "sync.yaml").write_text(json.dumps(profile))
    why = "999 workers on 2 CPU cores; more than 4 a core only wait for one another"

    status, captured = ms("sync", "plan")
    _, as_json = ms("sync", "plan", "--json")
    _, as_markdown = ms("sync", "plan", "--format", "markdown")

    assert status == 0
    assert captured.out.splitlines()[:3] == [
        f"  note: small@1.0.0: {why}",
        "      hint: say fewer `workers:` for small in the host profile",
        "",
    ]
    assert json.loads(as_json.out)["crowded"] == {"small@1.0.0": why}
    assert f"note: small@1.0.0: {why}" in as_markdown.out
