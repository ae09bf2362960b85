"""``handler/build.sh`` and ``ms archive``: the guide's way to build a model."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest

import zoo
from model_servers.adapters.bundled import handler
from model_servers.cli.main import main

USAGE = (
    "./build.sh --model_name <model_name> --model_file <model_file> --config_file "
    "<config_file> --requirements_file <requirements_file> --checkpoint_file "
    "<checkpoint_file> --version <version> [--extra_files <extra_files>]"
)
CONFIG = zoo.as_yaml(zoo.config_document())
WITH_SOURCES = zoo.as_yaml(zoo.config_document(system={"extraFiles": "sources.tar.gz"}))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the files of the guide, and nothing of a registry."""
    for name, content in {
        "handler_model.py": zoo.HANDLER.encode(),
        "model-config.yaml": CONFIG.encode(),
        "requirements.txt": b"",
        "checkpoint.pth": zoo.CHECKPOINT,
        "model.py": b"ONE = 1\n",
    }.items():
        (tmp_path / name).write_bytes(content)
    with tarfile.open(tmp_path / "sources.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "model.py", "model.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def flags(**changes):
    given = {
        "model_name": "MyNetwork",
        "model_file": "handler_model.py",
        "config_file": "model-config.yaml",
        "requirements_file": "requirements.txt",
        "checkpoint_file": "checkpoint.pth",
        "version": "1.0",
        **changes,
    }
    given = {flag: value for flag, value in given.items() if value is not None}
    return [part for flag, value in given.items() for part in (f"--{flag}", value)]


def ms(capsys, *arguments):
    try:
        status = main(["archive", *arguments])
    except SystemExit as end:
        status = end.code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return int(status), captured.out, captured.err


def packed(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def build_sh(folder, *arguments, path="/usr/bin:/bin"):
    return subprocess.run(
        [handler() / "build.sh", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_guides_command_writes_an_archive_named_after_the_model(here):
    (here / "model-config.yaml").write_text(WITH_SOURCES)

    done = build_sh(here, *flags(extra_files="sources.tar.gz"))

    assert (done.returncode, done.stderr) == (0, "")
    members = packed(here / "MyNetwork.mar")
    manifest = json.loads(members["MAR-INF/MANIFEST.json"])
    assert manifest["model"] == {
        "modelName": "MyNetwork",
        "modelVersion": "1.0",
        "handler": "base_handler:handle",
        "modelFile": "handler_model.py",
        "serializedFile": "checkpoint.pth",
        "configFile": "model-config.yaml",
        "requirementsFile": "requirements.txt",
    }
    assert members["sources.tar.gz"] == (here / "sources.tar.gz").read_bytes()
    assert not any("build.sh" in name for name in members)


def test_the_script_asks_an_installed_ms_first(here):
    tools = here / "bin"
    tools.mkdir()
    (tools / "ms").write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    (tools / "ms").chmod(0o755)

    done = build_sh(here, "--version", "1 0", path=f"{tools}:/usr/bin:/bin")

    assert done.stdout == "archive|--version|1 0|"


def test_help_has_the_guides_usage(capsys):
    status, out, _ = ms(capsys, "--help")

    assert status == 0
    assert out.startswith(f"usage: {USAGE}\n")


def test_flags_take_their_value_after_an_equals_sign(capsys, here):
    given = flags()
    joined = [
        f"{flag}={value}" for flag, value in zip(given[::2], given[1::2], strict=True)
    ]

    status, out, _ = ms(capsys, *joined, "--output", "built")

    assert status == 0
    assert out.startswith("built/MyNetwork.mar  ")
    assert (here / "built" / "MyNetwork.mar").is_file()


def test_files_and_directories_become_the_archive_that_the_config_names(capsys, here):
    (here / "model-config.yaml").write_text(WITH_SOURCES)
    (here / "sources.tar.gz").unlink()
    (here / "library").mkdir()
    (here / "library" / "deep.py").write_text("")

    assert ms(capsys, *flags(extra_files="model.py, library/"))[0] == 0

    source = packed(here / "MyNetwork.mar")["sources.tar.gz"]
    (here / "found.tar.gz").write_bytes(source)
    with tarfile.open(here / "found.tar.gz") as archive:
        assert archive.getnames() == ["library/deep.py", "model.py"]


def test_files_stand_beside_the_model_if_the_config_names_no_archive(capsys, here):
    assert ms(capsys, *flags(extra_files="model.py"))[0] == 0

    assert packed(here / "MyNetwork.mar")["model.py"] == b"ONE = 1\n"


def test_requirements_may_be_left_out(capsys, here):
    assert ms(capsys, *flags(requirements_file=None))[0] == 0


def test_the_same_files_give_the_same_bytes_as_a_registry(capsys, here):
    directory = zoo.make_model(
        here / "registry", version="1.0", files={"golden/case.yaml": None}
    )
    where = {
        "model_file": str(directory / "handler_model.py"),
        "config_file": str(directory / "model-config.yaml"),
        "checkpoint_file": str(directory / "checkpoint.pt"),
    }
    assert (
        ms(capsys, *flags(model_name="tiny", requirements_file=None, **where))[0] == 0
    )

    zoo.make_model(here / "registry", version="1.0")
    main(["build", "tiny", "--registry", str(here / "registry")])
    whole = packed(here / "dist" / "tiny-1.0.mar")
    given = packed(here / "tiny.mar")
    assert {path for path in whole if whole[path] != given.get(path)} == {
        "MAR-INF/MANIFEST.json",
        "MAR-INF/golden/case.yaml",
    }


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"extra_files": "sources.tar.gz"}, "MS023 --extra_files is sources.tar.gz"),
        ({"config_file": "other.yaml"}, "MS023 --extra_files lists nothing for"),
        ({"model_file": "model.py"}, "model.py: MS030"),
        ({"config_file": "twice.yaml"}, "twice.yaml:2:1: MS001"),
        ({"requirements_file": "torch.txt"}, "torch.txt:1: MS040"),
    ],
)
def test_findings_are_those_of_the_registry(capsys, here, changes, told):
    (here / "other.yaml").write_text(WITH_SOURCES)
    (here / "twice.yaml").write_text("batchSize: 1\nbatchSize: 2\n")
    (here / "torch.txt").write_text("torch==2.3.0\n")

    status, out, _ = ms(capsys, *flags(**changes))

    assert status == 1
    assert told in out
    assert not (here / "MyNetwork.mar").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"checkpoint_file": "none.pt"},
            "ms: --checkpoint_file: there is no file none",
        ),
        ({"model_file": "."}, "ms: --model_file: . is a directory"),
        ({"version": "one"}, "ms: --version: version 'one' is not MAJOR.MINOR[.PATCH]"),
        ({"model_name": "my net"}, "ms: --model_name 'my net' cannot name a model"),
        (
            {"model_name": None},
            "ms: the following arguments are required: --model_name",
        ),
        ({"model": "x"}, "ms: unrecognized arguments: --model x"),
        ({"extra_files": "b/model.py,model.py"}, "would have one place in the archive"),
    ],
)
def test_what_cannot_be_is_told_with_a_hint(capsys, here, changes, told):
    (here / "b").mkdir()
    (here / "b" / "model.py").write_text("TWO = 2\n")

    status, _, err = ms(capsys, *flags(**changes))

    assert status == 2
    assert told in err
    assert "\nhint: " in err


def script_with(here, python3):
    """Put the script into a checkout of its own, and a python3 on the PATH."""
    checkout = here / "checkout"
    (checkout / "handler").mkdir(parents=True)
    script = checkout / "handler" / "build.sh"
    script.write_bytes((handler() / "build.sh").read_bytes())
    script.chmod(0o755)
    (here / "bin").mkdir()
    (here / "bin" / "python3").write_text(f"#!/bin/sh\n{python3}\n")
    (here / "bin" / "python3").chmod(0o755)
    return script


def run_script(here, script):
    return subprocess.run(
        [script],
        env={"PATH": f"{here}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("is_linked", [False, True])
def test_a_script_without_anything_installed_says_what_to_install(here, is_linked):
    script = script_with(here, "exit 1")
    (here / "bin" / "build.sh").symlink_to(script)

    done = run_script(here, here / "bin" / "build.sh" if is_linked else script)

    assert done.returncode == 3
    assert done.stderr.endswith(f"hint: pip install {here / 'checkout'}\n")


NEEDED = [
    re.match(r"[\w-]+", requirement)[0].replace("pyyaml", "yaml")
    for requirement in importlib.metadata.requires("model-servers")
    if "extra ==" not in requirement
]


@pytest.mark.parametrize("missing", NEEDED)
def test_a_script_that_lacks_one_package_says_so(here, missing):
    program = f"import sys; sys.modules['{missing}'] = None; exec(sys.argv[1])"
    script = script_with(here, f'exec \'{sys.executable}\' -c "{program}" "$2"')

    done = run_script(here, script)

    assert done.returncode == 3
    assert done.stderr.startswith("ms: neither ms nor what it needs is installed\n")
