"""An install without extras: what a GPU host gets, and what it does not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_servers.adapters.torchserve_process import torchserve
from model_servers.cli.main import main
from zoo import version_of

CHECKOUT = Path(__file__).parents[1]


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """What ``pip install .`` makes of the checkout, and installs."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", folder, CHECKOUT)
    (built,) = folder.iterdir()
    return built


def install(folder, wheel, python=sys.executable):
    """Give what runs programs of an environment that has the wheel without extras."""
    environment = folder / "venv"
    # Its own pip, which takes seconds to install, would do the same as ours.
    venv = [python, "-m", "venv", "--without-pip", str(environment)]
    subprocess.run(venv, check=True)
    constraints = ["--constraint", CHECKOUT / "constraints.txt"]
    there = ["--python", environment / "bin" / "python"]
    pip(*there, "install", "--quiet", *constraints, wheel)

    def run(program, *arguments):
        return subprocess.run(
            [environment / "bin" / program, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel):
    return install(tmp_path_factory.mktemp("installed"), wheel)


def other_python(version):
    """Find another Python, on the PATH or beside this one; None without."""
    beside = Path(sys.base_prefix).parent.glob(f"{version}.*/bin")
    places = sorted(map(str, beside))
    for place in (None, *places):
        found = shutil.which(f"python{version}", path=place)
        if found and not subprocess.run([found, "-c", ""], check=False).returncode:
            return found
    return None


def test_neither_torch_nor_boto3_nor_a_handler_module_comes_along(installed):
    for module in ("torch", "ts", "boto3", "base_handler", "model_servers_handler"):
        assert installed("python", "-c", f"import {module}").returncode == 1


def test_help_works(installed):
    answer = installed("ms", "--help")

    assert answer.returncode == 0
    assert "validate" in answer.stdout


def test_validate_works(installed):
    answer = installed("ms", "validate", "--registry", CHECKOUT / "registry")

    assert (answer.returncode, answer.stdout) == (0, "3 models: no findings\n")


def test_build_gives_the_bytes_that_a_checkout_gives(installed, tmp_path, capsys):
    here, there = tmp_path / "here", tmp_path / "there"
    arguments = ["digits", "--registry", str(CHECKOUT / "registry"), "-o"]
    main(["build", *arguments, str(here)])

    installed("ms", "build", *arguments, there)

    name = f"digits-{version_of(CHECKOUT / 'registry/digits')}.mar"
    assert (here / name).read_bytes() == (there / name).read_bytes()


def test_every_python_that_is_here_builds_the_same_bytes(tmp_path, capsys, wheel):
    here = tmp_path / "here"
    models = ["digits", "my_network", "--registry", str(CHECKOUT / "registry")]
    main(["build", *models, "-o", str(here)])
    expected = {one.name: one.read_bytes() for one in here.iterdir()}
    assert len(expected) == 2

    for python in filter(None, map(other_python, ("3.10", "3.12"))):
        folder = tmp_path / Path(python).name
        folder.mkdir()
        other = install(folder, wheel, python)
        validated = other("ms", "validate", "--registry", CHECKOUT / "registry")
        built = other("ms", "build", *models, "-o", folder / "there")

        assert (validated.returncode, built.returncode) == (0, 0), built.stderr
        found = {one.name: one.read_bytes() for one in (folder / "there").iterdir()}
        assert found == expected


def test_a_store_in_s3_names_the_extra_it_needs(installed, tmp_path):
    answer = installed(
        *("ms", "publish", "--store", "s3://bucket"),
        *("--registry", CHECKOUT / "registry"),
    )

    assert answer.returncode == 2
    assert "pip install 'model-servers[s3]'" in answer.stderr


def test_trying_a_model_names_the_extra_it_needs(installed, tmp_path):
    answer = installed(
        *("ms", "test", "digits", "--work", tmp_path),
        *("--registry", CHECKOUT / "registry"),
    )

    assert answer.returncode == 2
    assert "pip install 'model-servers[serve]'" in answer.stderr


@pytest.mark.torchserve
def test_sync_plan_works(installed, tmp_path):
    store = tmp_path / "store"
    main(
        [
            *("publish", "my_network", "--store", store.as_uri()),
            *("--registry", str(CHECKOUT / "registry")),
        ]
    )
    model_store = tmp_path / "model_store"
    model_store.mkdir()
    profile = tmp_path / "sync.yaml"
    with torchserve(model_store, logs=tmp_path / "logs") as addresses:
        profile.write_text(
            json.dumps(
                {
                    "schema": 1,
                    "store": store.as_uri(),
                    "model_store": str(model_store),
                    "torchserve": {
                        "management": addresses.management,
                        "inference": addresses.inference,
                    },
                    "models": {"my_network": "latest"},
                }
            )
        )

        answer = installed("ms", "sync", "plan", "--profile", profile)

    assert answer.returncode == 0, answer.stderr
    assert "+ my_network@1.0" in answer.stdout


def test_the_catalogue_names_the_extra_it_needs(installed):
    answer = installed("ms", "site", "--registry", CHECKOUT / "registry")

    assert answer.returncode == 2
    assert "pip install 'model-servers[site]'" in answer.stderr


def test_the_templates_of_the_catalogue_come_along(installed):
    folder = "model_servers/adapters/site_templates"
    program = (
        "import model_servers, pathlib; "
        "folder = pathlib.Path(model_servers.__file__).parents[1]; "
        f"print(*sorted(p.name for p in (folder / {folder!r}).iterdir()))"
    )

    answer = installed("python", "-c", program)

    here = sorted(one.name for one in (CHECKOUT / "tools" / folder).iterdir())
    assert answer.stdout.split() == here
