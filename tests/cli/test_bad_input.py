"""Bad input gets one clear message and the right exit status, never a traceback."""

import shutil
import socket
from pathlib import Path

import pytest

from model_servers.cli.main import main

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def registry(tmp_path):
    """A registry with the guide's model, to be spoiled."""
    shutil.copytree(
        CHECKOUT / "registry" / "my_network", tmp_path / "registry" / "my_network"
    )
    return tmp_path / "registry"


@pytest.fixture
def ms(registry, capsys):
    """Run ``ms``: exit status, stdout, stderr."""

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return int(status), captured.out, captured.err

    return run


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def spoil_checkpoint_digest(model):
    rewrite(
        model / "model.yaml",
        "golden: golden",
        f"golden: golden\ncheckpoint: {{sha256: '{'0' * 64}', size: "
        f"{(model / 'checkpoint.pth').stat().st_size}}}",
    )


SPOILED = [
    pytest.param(
        lambda model: (model / "checkpoint.pth").unlink(),
        "build.checkpoint_file: MS020 'checkpoint.pth' does not exist",
        id="missing file",
    ),
    pytest.param(
        lambda model: rewrite(model / "model.yaml", "summary:", "sumary:"),
        "sumary: MS002 unknown key 'sumary'\n    fix: did you mean 'summary'?",
        id="unknown key",
    ),
    pytest.param(
        lambda model: rewrite(model / "model.yaml", 'version: "1.0"', "version: 1.0"),
        "version: MS002 found the number 1.0, expected text\n"
        "    fix: quote it, as it is written",
        id="unquoted version",
    ),
    pytest.param(
        lambda model: rewrite(
            model / "model-config.yaml", "batchSize: 4", "batchSize: 4\nbatchSize: 8"
        ),
        "MS001 the key 'batchSize' is there twice",
        id="duplicate key",
    ),
    pytest.param(
        spoil_checkpoint_digest,
        f"model.yaml declares {'0' * 64}",
        id="wrong sha256",
    ),
    pytest.param(
        lambda model: rewrite(
            model / "model.yaml", "[model.py]", "[model.py, ../other/model.py]"
        ),
        "build.extra_files[1]: MS021 '../other/model.py' leaves the model's directory",
        id="path outside the model",
    ),
]


@pytest.mark.parametrize(("spoil", "expected"), SPOILED)
@pytest.mark.parametrize("command", ["validate", "build", "test"])
def test_a_spoiled_model_gives_a_finding(ms, registry, command, spoil, expected):
    spoil(registry / "my_network")

    status, out, _ = ms(command, "my_network", "--registry", registry)

    assert status == 1
    assert expected in out
    assert "fix: " in out


def test_a_spoiled_model_is_not_published(ms, registry, tmp_path):
    (registry / "my_network" / "checkpoint.pth").unlink()
    store = tmp_path / "store"

    status, _, err = ms("publish", "--registry", registry, "--store", store.as_uri())

    assert (status, store.exists()) == (1, False)
    assert "MS020" in err


def test_findings_of_all_models_come_in_one_run(ms, registry):
    shutil.copytree(registry / "my_network", registry / "other")
    (registry / "my_network" / "checkpoint.pth").unlink()

    status, out, _ = ms("validate", "--registry", registry)

    assert status == 1
    assert "registry/my_network/model.yaml" in out
    assert "name is 'my_network', but the directory is 'other'" in out


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("my-network", "did you mean 'my_network'?", id="nearly"),
        pytest.param("digits", "models here: my_network", id="another"),
    ],
)
def test_an_unknown_model_is_answered_with_the_known_ones(ms, registry, name, hint):
    status, _, err = ms("validate", name, "--registry", registry)

    assert status == 2
    assert f"there is no model {name!r}" in err
    assert f"hint: {hint}" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], "required: COMMAND", id="no command"),
        pytest.param(["build"], "required: MODEL", id="no model"),
        pytest.param(["sync", "apply"], "--plan --yes is required", id="no consent"),
        pytest.param(
            ["test", "digits", "--port", "80"], "80 is not between", id="port"
        ),
    ],
)
def test_a_wrong_call_says_how_to_call(ms, arguments, expected):
    status, _, err = ms(*arguments)

    assert status == 2
    assert expected in err
    assert "--help" in err


@pytest.mark.parametrize(
    "store", ["/folder", "ftp://host/x", "file://relative", "s3://"]
)
def test_a_store_that_is_none_is_named(ms, registry, store):
    status, _, err = ms("publish", "--registry", registry, "--store", store)

    assert status == 2
    assert store in err


def test_no_store_says_which_flag_gives_one(ms, registry):
    status, _, err = ms("publish", "--registry", registry)

    assert status == 2
    assert "hint: add --store" in err


def test_an_unreachable_store_is_an_outside_failure(
    ms, registry, monkeypatch, closed_port
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    endpoint = f"http://127.0.0.1:{closed_port}"

    status, _, err = ms(
        "publish",
        "--registry",
        registry,
        "--store",
        "s3://models",
        "--endpoint-url",
        endpoint,
    )

    assert status == 3
    assert "s3://models cannot be reached" in err
    assert endpoint in err
    assert "hint: " in err


@pytest.fixture
def profile(tmp_path, registry, closed_port):
    path = tmp_path / "sync.yaml"
    path.write_text(
        f"""\
schema: 1
store: {(tmp_path / "store").as_uri()}
model_store: {tmp_path / "model_store"}
torchserve:
  management: http://127.0.0.1:{closed_port}
models:
  my_network: latest
"""
    )
    return path


@pytest.fixture
def closed_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]  # bound, not listening: nobody else gets it


def test_torchserve_not_running_is_an_outside_failure(ms, registry, profile, tmp_path):
    ms("publish", "--registry", registry, "--store", (tmp_path / "store").as_uri())

    status, _, err = ms("sync", "plan", "--profile", profile)

    assert status == 3
    assert "TorchServe does not answer at http://127.0.0.1:" in err
    assert "hint: start TorchServe" in err


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("models:", "modles:", "did you mean 'models'?", id="unknown key"),
        pytest.param(
            "latest", "1.0", "quote it, as it is written", id="unquoted version"
        ),
        pytest.param("my_network", "My Network", "lower-case letters", id="name"),
        pytest.param("schema: 1", "schema: 2", "newer model-servers", id="too new"),
    ],
)
def test_a_wrong_host_profile_is_explained(ms, profile, old, new, expected):
    rewrite(profile, old, new)

    status, _, err = ms("sync", "plan", "--profile", profile)

    assert status == 2
    assert expected in err


def test_a_missing_host_profile_names_the_document_to_write(ms, tmp_path):
    status, _, err = ms("sync", "status", "--profile", tmp_path / "none.yaml")

    assert status == 2
    assert "hint: write it (docs/host-profile.md)" in err


def test_a_port_in_use_is_named(ms, registry, closed_port, tmp_path):
    status, _, err = ms(
        "test",
        "my_network",
        "--registry",
        registry,
        "--work",
        tmp_path / "work",
        "--port",
        closed_port,
    )

    assert status == 3
    assert f"port {closed_port} cannot be used" in err
    assert "hint: " in err


def test_github_annotations_cannot_be_forged_by_a_message(ms, registry):
    rewrite(
        registry / "my_network" / "model.yaml",
        "[model.py]",
        '["model.py", "a%0A::error::b"]',
    )

    status, out, _ = ms("validate", "--registry", registry, "--format", "github")

    assert status == 1
    assert [line[:8] for line in out.splitlines()] == ["::error "] * len(
        out.splitlines()
    )
    assert "a%250A::error::b" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            ["valdate"],
            "ms: argument COMMAND: there is no 'valdate'; did you mean 'validate'?\n"
            "hint: ms --help tells more\n",
            id="a command",
        ),
        pytest.param(
            ["sync", "statsu"],
            "ms: argument COMMAND: there is no 'statsu'; did you mean 'status'?\n"
            "hint: ms sync --help tells more\n",
            id="a command of a group",
        ),
        pytest.param(
            ["validate", "--format", "yaml"],
            "ms: argument --format: there is no 'yaml'; known ones: text, json, "
            "github\nhint: ms validate --help tells more\n",
            id="a choice that is like none",
        ),
        pytest.param(
            ["publish", "--dryrun", "--stor=x"],
            "ms: unrecognized arguments: --dryrun; did you mean --dry-run?\n"
            "hint: ms publish --help tells more\n",
            id="an option, beside one that is cut short",
        ),
        pytest.param(
            ["init", "one", "two"],
            "ms: unrecognized arguments: two\nhint: ms init --help tells more\n",
            id="a word too many",
        ),
        pytest.param(
            ["serve", "tiny", "--port", "abc"],
            "ms: argument --port: 'abc' is not a whole number\n"
            "hint: ms serve --help tells more\n",
            id="a port that is no number",
        ),
        pytest.param(
            ["sync", "prune", "--keep", "two"],
            "ms: argument --keep: 'two' is not a whole number\n"
            "hint: ms sync prune --help tells more\n",
            id="a count that is no number",
        ),
        pytest.param(
            ["sync", "watch", "--interval", "10s"],
            "ms: argument --interval: '10s' is not between 1 and 86400\n"
            "hint: ms sync watch --help tells more\n",
            id="seconds with a unit",
        ),
        pytest.param(
            ["sync", "watch", "--metrics-port", "99999"],
            "ms: argument --metrics-port: 99999 is not between 0 and 65535\n"
            "hint: ms sync watch --help tells more\n",
            id="a port that there is not",
        ),
        pytest.param(
            ["mirror", "--store", "file:///", "--to", "/srv/other"],
            "ms: the store '/srv/other' is neither file:///folder nor "
            "s3://bucket/prefix\nhint: correct --to\n",
            id="another store without its scheme",
        ),
    ],
)
def test_what_was_meant_is_said_of_a_slip_on_the_command_line(ms, arguments, message):
    assert ms(*arguments) == (2, "", message)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["fetch", "tiny@latest"], id="fetch"),
        pytest.param(["rebuild", "tiny@1.0"], id="rebuild"),
        pytest.param(["mirror", "--to", "file:///srv/other"], id="mirror"),
    ],
)
def test_a_store_that_is_read_is_not_taken_for_an_empty_one(ms, tmp_path, arguments):
    away = tmp_path / "away"

    status, _, err = ms(*arguments, "--store", away.as_uri())

    assert (status, away.exists()) == (3, False)
    assert err.startswith(f"ms: there is no store in {away}\n")
