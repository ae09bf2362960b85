"""`ms sync install --print`: files that a machine can be made a host with."""

from __future__ import annotations

import configparser
import json
import shutil
import subprocess

import pytest

from fakes.model_store import write_entry
from model_servers.adapters.frontends import serving_from
from model_servers.adapters.torchserve_api import TorchServeApi
from model_servers.adapters.torchserve_process import torchserve
from model_servers.cli.main import main
from model_servers.core.frontend import properties
from model_servers.core.names import Ref
from model_servers.core.units import is_loopback


@pytest.fixture
def printed(tmp_path, capsys):
    """Print the files of a host, with *torchserve* in its profile."""

    def run(*arguments, **torchserve):
        (tmp_path / "sync.yaml").write_text(
            json.dumps(
                {
                    "schema": 1,
                    "store": "file:///srv/store",
                    "model_store": "/srv/torchserve/model_store",
                    "torchserve": torchserve,
                    "models": {},
                }
            )
        )
        profile = str(tmp_path / "sync.yaml")
        status = main(["sync", "install", *arguments, "--profile", profile])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return captured.out

    return run


def files(printed, **torchserve):
    return json.loads(printed("--print", "--json", **torchserve))


def unit(text):
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read_string(text)
    return parser


def test_all_files_are_printed_with_the_paths_where_they_belong(printed):
    text = printed("--print")

    assert [line for line in text.splitlines() if line.startswith("# ==>")] == [
        "# ==> /etc/torchserve/config.properties",
        "# ==> /etc/systemd/system/torchserve.service",
        "# ==> /etc/systemd/system/ms-sync.service",
        "# ==> /etc/systemd/system/ms-sync-verify.service",
        "# ==> /etc/systemd/system/ms-sync-verify.timer",
    ]


def test_one_file_can_be_written_where_it_belongs(printed):
    text = printed("--print", "config.properties")

    assert text == files(printed)["/etc/torchserve/config.properties"]
    assert properties(text)["model_store"] == "/srv/torchserve/model_store"


def test_a_file_that_is_not_there_is_a_usage_error(tmp_path, capsys):
    (tmp_path / "sync.yaml").write_text(
        "schema: 1\nmodels: {}\nmodel_store: /srv/models\n"
    )

    status = main(
        ["sync", "install", "--print", "x", "--profile", str(tmp_path / "sync.yaml")]
    )

    assert status == 2
    assert "there is no file x" in capsys.readouterr().err


def test_every_setting_says_why(printed):
    lines = printed("--print", "config.properties").splitlines()[2:]

    assert all(line.startswith("# ") for line in lines[::2])
    assert all("=" in line for line in lines[1::2])


def test_nothing_but_inference_can_be_made_reachable_from_elsewhere(printed):
    config = properties(printed("--print", "config.properties"))

    assert all(
        is_loopback(value)
        for key, value in config.items()
        if key.endswith("address") and value.startswith("http")
    )
    assert config["grpc_management_address"] == "127.0.0.1"
    assert config["allowed_urls"] == "none://.*"


@pytest.mark.parametrize(
    ("torchserve", "disabled"),
    [({}, "true"), ({"key_file": "/var/lib/torchserve/key_file.json"}, "false")],
    ids=["no key file", "a key file"],
)
def test_tokens_are_on_where_the_profile_names_the_keys(printed, torchserve, disabled):
    config = properties(printed("--print", "config.properties", **torchserve))

    assert config["disable_token_authorization"] == disabled


def test_torchserve_starts_without_snapshots_and_with_a_short_temp(printed):
    service = unit(files(printed)["/etc/systemd/system/torchserve.service"])["Service"]

    assert "--start --foreground --ncs --ts-config" in service["ExecStart"]
    assert service["RuntimeDirectory"] == "torchserve"
    assert service["Environment"]


def test_the_units_are_as_systemd_wants_them(printed, tmp_path):
    analyze = shutil.which("systemd-analyze")
    found = files(printed)
    for path, text in found.items():
        if path.startswith("/etc/systemd"):
            assert unit(text).sections()[0] == "Unit"
            (tmp_path / path.rpartition("/")[2]).write_text(text)
    if analyze is not None:
        units = [str(one) for one in sorted(tmp_path.glob("*.timer"))]
        subprocess.run([analyze, "verify", *units], check=True)


@pytest.mark.torchserve
def test_a_real_torchserve_takes_the_config(printed, tmp_path):
    settings = properties(printed("--print", "config.properties"))
    own = ("model_store", "_address", "_port")
    settings = {key: one for key, one in settings.items() if not key.endswith(own)}
    model_store = tmp_path / "model_store"
    model_store.mkdir()
    write_entry(model_store, Ref.parse("echo@1.0"))
    with torchserve(
        model_store, logs=tmp_path / "logs", settings=settings
    ) as addresses:
        api = TorchServeApi(
            management=addresses.management, inference=addresses.inference
        )
        api.register(Ref.parse("echo@1.0"))
        served = api.served()
        running = serving_from(model_store)

    assert list(served) == ["echo"]
    assert running is not None
    assert running.config["blacklist_env_vars"] == settings["blacklist_env_vars"]


def test_torchserve_listens_where_the_profile_says(printed):
    at = {
        "management": "http://127.0.0.1:9001",
        "inference": "http://127.0.0.1:9000",
        "metrics": "http://127.0.0.1:9002",
    }

    config = properties(printed("--print", "config.properties", **at))

    assert {name: config[f"{name}_address"] for name in at} == at
