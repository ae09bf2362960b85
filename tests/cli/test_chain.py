"""The whole chain on a real TorchServe: from a model directory to an answer."""

import json
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest
import torch
import urllib3

from model_servers.adapters.torchserve_api import TorchServeApi
from model_servers.adapters.torchserve_process import torchserve
from model_servers.cli.main import main
from zoo import version_of

CHECKOUT = Path(__file__).parents[2]
DIGITS = version_of(CHECKOUT / "registry" / "digits")

pytestmark = pytest.mark.torchserve


def run(capsys, *arguments):
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """One work folder, so that requirements are installed once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def registry(tmp_path):
    shutil.copytree(CHECKOUT / "registry", tmp_path / "registry")
    return tmp_path / "registry"


def test_the_demo_answers_every_golden_request_and_publishes_and_installs_once(
    capsys, work
):
    arguments = ["demo", "--registry", CHECKOUT / "registry", "--work", work]
    status, out, err = run(capsys, *arguments)

    assert status == 0, err
    assert "3 released, 0 unchanged" in err
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert rows.keys() == {"digits", "my_network", "wine"}
    assert all("reproduces" in row for row in rows.values())

    # Another ms, or a full disk, may have left it in the work folder.
    memory = work / "host" / "model_store" / ".model-servers" / "host" / "memory.json"
    memory.write_text("{}")
    status, _, err = run(capsys, *arguments)

    assert status == 0, err
    assert "0 released, 3 unchanged" in err
    assert "install " not in err


def test_a_wrong_state_dict_is_told_with_what_was_expected(capsys, work, registry):
    checkpoint = registry / "my_network" / "checkpoint.pth"
    state = torch.load(checkpoint, weights_only=True)
    state["layer0.line.weight"] = state.pop("layer0.lin.weight")
    torch.save(state, checkpoint)

    status, out, err = run(
        capsys, "test", "my_network", "digits", "--registry", registry, "--work", work
    )

    assert status == 1
    assert "my_network@1.0 cannot be loaded" in out
    assert "layer0.lin.weight" in out
    assert "layer0.line.weight" in out
    assert "fix: correct the model; `ms test my_network` tries it" in out
    assert "digits" in out
    assert "reproduces" in out  # one broken model does not stop the others
    assert "Traceback" not in err


def test_a_wrong_golden_answer_is_told_with_the_difference(capsys, work, registry):
    cases = sorted((registry / "my_network" / "golden").glob("*.yaml"))
    text = cases[0].read_text()
    head, _, _ = text.partition("expect:")
    cases[0].write_text(f"{head}expect:\n  json: [1, 2]\n")

    status, out, _ = run(
        capsys, "test", "my_network", "--json", "--registry", registry, "--work", work
    )

    (report,) = json.loads(out)
    assert status == 1
    assert report["cases"][0]["first_difference"] == "answer has 10 items, expected 2"


@pytest.fixture
def host(tmp_path, registry):
    """A TorchServe with an empty model store, and a profile that names both."""
    model_store = tmp_path / "model_store"
    model_store.mkdir()
    with torchserve(model_store, logs=tmp_path / "logs") as addresses:
        profile = tmp_path / "sync.yaml"
        profile.write_text(
            json.dumps(
                {
                    "schema": 1,
                    "store": (tmp_path / "store").as_uri(),
                    "model_store": str(model_store),
                    "torchserve": {
                        "management": addresses.management,
                        "inference": addresses.inference,
                    },
                    "models": {"my_network": "latest"},
                    "policy": {"drain_s": 0.5},
                }
            )
        )
        yield profile, addresses, registry, (tmp_path / "store").as_uri()


def raise_version(registry, old, new):
    """Make a code-only change, and the version it needs."""
    model = registry / "my_network"
    text = (model / "model.yaml").read_text()
    (model / "model.yaml").write_text(text.replace(f'"{old}"', f'"{new}"'))
    source = model / "handler_model.py"
    source.write_text(f"{source.read_text()}\n# changed for {new}\n")


def test_an_upgrade_answers_throughout_and_then_plans_nothing(capsys, host):
    profile, addresses, registry, store = host
    publish = ["publish", "my_network", "--registry", registry, "--store", store]
    plan = ["sync", "plan", "--exit-code", "--profile", profile]
    run(capsys, *publish)
    status, out, _ = run(capsys, *plan)
    assert (status, out.count("+ my_network@1.0")) == (5, 1)
    digest = out.split()[-1]
    status, _, err = run(
        capsys, "sync", "apply", "--profile", profile, "--plan", digest
    )
    assert status == 0, err
    raise_version(registry, "1.0", "1.1")
    run(capsys, *publish)

    statuses: list[int] = []
    upgraded = threading.Event()
    body = json.dumps([0.5, -1.0, 2.0, 0.25])
    client = threading.Thread(
        target=ask_until,
        args=(
            upgraded,
            f"{addresses.inference}/predictions/my_network",
            body,
            statuses,
        ),
    )
    client.start()
    try:
        status, out, err = run(capsys, "sync", "apply", "--yes", "--profile", profile)
    finally:
        upgraded.set()
        client.join()

    assert status == 0, err
    assert "my_network 1.0 -> 1.1" in out
    assert len(statuses) > 1
    assert set(statuses) == {200}
    api = TorchServeApi(management=addresses.management, inference=addresses.inference)
    assert [
        (one.version, one.is_default, one.is_ready)
        for one in api.describe("my_network")
    ] == [("1.1", True, True)]
    status, out, _ = run(capsys, *plan)
    assert status == 0
    assert "nothing to do" in out


def ask_until(end, url, body, statuses):
    with urllib3.PoolManager(retries=False, timeout=30) as http:
        while not end.is_set():
            answer = http.request(
                "POST", url, body=body, headers={"Content-Type": "application/json"}
            )
            statuses.append(answer.status)


def test_a_bad_release_never_becomes_the_default(capsys, host):
    profile, addresses, registry, store = host
    publish = ["publish", "my_network", "--registry", registry, "--store", store]
    apply = ["sync", "apply", "--yes", "--profile", profile]
    run(capsys, *publish)
    run(capsys, *apply)
    raise_version(registry, "1.0", "1.1")
    source = registry / "my_network" / "handler_model.py"
    source.write_text(
        source.read_text().replace("return model", "raise OSError('no such luck')")
    )
    run(capsys, *publish)

    status, _, err = run(capsys, *apply)

    assert status == 3
    assert "my_network@1.1 cannot be loaded" in err
    assert "no such luck" in err
    api = TorchServeApi(management=addresses.management, inference=addresses.inference)
    assert [
        (one.version, one.is_default, one.is_ready)
        for one in api.describe("my_network")
    ] == [("1.0", True, True)]


def test_a_stock_torchserve_loads_the_plain_archive(capsys, tmp_path):
    model_store = tmp_path / "model_store"
    arguments = ["my_network", "digits", "--registry", CHECKOUT / "registry"]
    run(capsys, "build", *arguments, "-o", model_store)
    with torchserve(model_store, logs=tmp_path / "logs") as addresses:
        http = urllib3.PoolManager(retries=False, timeout=120)
        for name, archive in (("my_network", "1.0"), ("digits", DIGITS)):
            registered = http.request(
                "POST",
                f"{addresses.management}/models?url={name}-{archive}.mar"
                "&initial_workers=1&synchronous=true",
            )
            assert registered.status == 200, registered.data
        answer = http.request(
            "POST",
            f"{addresses.inference}/predictions/digits",
            body=(CHECKOUT / "registry/digits/golden")
            .joinpath(
                next(
                    path.name
                    for path in (CHECKOUT / "registry/digits/golden").glob("*.png")
                )
            )
            .read_bytes(),
            headers={"Content-Type": "image/png"},
        )
        http.clear()

    assert answer.status == 200
    assert answer.json()["digit"] in range(10)


def test_ctrl_c_leaves_nothing_running(tmp_path):
    demo = subprocess.Popen(
        [
            *(sys.executable, "-m", "model_servers", "test", "my_network"),
            *("--registry", str(CHECKOUT / "registry")),
            *("--work", str(tmp_path / "work")),
        ],
        env={"PYTHONPATH": str(CHECKOUT / "tools"), "PATH": "/usr/bin:/bin"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stderr is not None
    for line in demo.stderr:
        if "TorchServe listens" in line:
            break
    demo.send_signal(2)
    _, err = demo.communicate(timeout=60)

    assert demo.returncode == 130
    assert "interrupted; run the same command again" in err
    assert not [
        process
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if str(tmp_path).encode() in read_or_nothing(process)
    ]


def read_or_nothing(path):
    try:
        return path.read_bytes()
    except OSError:  # the process has just ended
        return b""


def test_the_archive_is_a_zip_that_anybody_can_read(capsys, tmp_path):
    run(
        capsys,
        *("build", "digits", "--registry", CHECKOUT / "registry", "-o", tmp_path),
    )

    with zipfile.ZipFile(tmp_path / f"digits-{DIGITS}.mar") as archive:
        assert archive.testzip() is None
        assert archive.namelist()[:2] == ["checkpoint.pt", "MAR-INF/MANIFEST.json"]
