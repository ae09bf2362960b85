"""The guide's examples, word for word, in a real TorchServe."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch

from torchserve.guide import (
    BROUGHT_ALONG,
    FACTORY,
    FIRST,
    MODEL,
    PROGRAMS,
    SECOND,
    THIRD,
    TORCHVISION,
    classified,
    network,
    picture,
    resnet,
    weights_of,
)
from torchserve.serving import Question, Server, Start

pytestmark = pytest.mark.torchserve


@pytest.fixture(scope="module")
def guide(
    start: Start, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Server, Path]:
    """A TorchServe that finds the guide's commands, and what they keep a record in."""
    folder = tmp_path_factory.mktemp("guide")
    record = folder / "record"
    for name, does in PROGRAMS.items():
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>"$RECORD"\n{does}\n')
        program.chmod(0o755)
    with zipfile.ZipFile(folder / "somefile.zip", "w") as archive:
        archive.writestr("some/file.txt", "unzipped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("GUIDE", str(folder))
        patch.setenv("RECORD", str(record))
        patch.setenv("BUILD", '#!/bin/sh\necho "build in $PWD" >>"$RECORD"\n')
        server = start()
    return server, record


@pytest.fixture(scope="module")
def server(guide: tuple[Server, Path]) -> Server:
    return guide[0]


# ------------------------------------------------- MyNetwork, an init_function only


@pytest.fixture(scope="module")
def my_network(server: Server) -> str:
    """Two versions that differ in their weights, with every argument of the guide."""
    for seed, version in enumerate(["1.0", "2.0"]):
        server.serve(
            "my_network",
            version=version,
            files={
                "handler_model.py": f"{FACTORY}{FIRST}\n"
                "handler = handler_factory(init_function=init_function,\n"
                "                          in_dim=4, layer_dims=[16, 16])\n",
                "model.py": MODEL,
                "requirements.txt": "numpy\n",
                "checkpoint.pt": None,
                "checkpoint.pth": weights_of(network(seed)),
            },
            model={
                "build": {
                    "requirements_file": "requirements.txt",
                    "checkpoint_file": "checkpoint.pth",
                    "extra_files": ["model.py"],
                }
            },
            config={"system": {"extraFiles": "test.tar.gz", "maxGPUMemory": 500}},
        )
    return "my_network"


def test_json_numbers_go_to_the_model_as_they_are(
    server: Server, my_network: str
) -> None:
    reply = server.ask(my_network, [0.5, -1.0, 2, 0.25])

    with torch.inference_mode():
        expected = network(0)(torch.tensor([[0.5, -1.0, 2, 0.25]]))[0]
    assert (reply.status, reply.content_type) == (200, "application/json")
    assert reply.json == pytest.approx(expected.tolist(), abs=1e-5)


def test_each_version_answers_at_its_own_address(
    server: Server, my_network: str
) -> None:
    sample = [1.0, 2.0, 3.0, 4.0]
    answers = [
        server.ask(my_network, sample, version=version).json
        for version in ("1.0", "2.0", "")
    ]

    with torch.inference_mode():
        first, second = (
            network(seed)(torch.tensor([sample]))[0].tolist() for seed in (0, 1)
        )
    assert first != pytest.approx(second, abs=1e-3)
    assert answers[0] == answers[2] == pytest.approx(first, abs=1e-5)
    assert answers[1] == pytest.approx(second, abs=1e-5)


def test_the_build_arguments_are_where_torchserve_looks(
    server: Server, my_network: str
) -> None:
    archive = f"{my_network}-1.0.mar"

    model = server.manifest(archive)["model"]
    described = server.describe(my_network, "1.0")
    with zipfile.ZipFile(server.model_store / archive) as opened:
        members = set(opened.namelist())

    assert model == {
        "modelName": "my_network",
        "modelVersion": "1.0",
        "handler": "base_handler:handle",
        "modelFile": "handler_model.py",
        "serializedFile": "checkpoint.pth",
        "configFile": "model-config.yaml",
        "requirementsFile": "requirements.txt",
    }
    assert {model["requirementsFile"], "test.tar.gz"} < members
    assert "model.py" not in members, "it is in the .tar.gz"
    assert (described["batchSize"], described["maxBatchDelay"]) == (4, 5)


# -------------------------------------------------- ResNet, and the functions around


@pytest.fixture(scope="module")
def second(server: Server) -> str:
    server.serve(
        "resnet",
        files={
            "handler_model.py": f"{FACTORY}{SECOND}\n\n"
            "handler = handler_factory(init_function=init_function,\n"
            "                          preprocess_function=preprocess,\n"
            "                          postprocess_function=postprocess,\n"
            "                          resnet_layers=18)\n",
            "checkpoint.pt": weights_of(resnet(0)),
            **TORCHVISION,
        },
        model=BROUGHT_ALONG,
        config={
            "system": {"extraFiles": "sources.tar.gz"},
            "batchSize": 4,
            "maxBatchDelay": 200,
        },
    )
    return "resnet"


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP"])
def test_a_picture_gets_score_class_and_category(
    server: Server, second: str, image_format: str
) -> None:
    question = picture(200, image_format)

    reply = server.ask(second, question)

    assert reply.status == 200
    assert reply.json == classified(resnet(0), question)


def test_pictures_sent_at_once_get_their_own_answers(
    server: Server, second: str
) -> None:
    questions = [picture(shade) for shade in range(0, 256, 32)]

    replies = server.ask_together(second, questions)

    assert [reply.json for reply in replies] == [
        classified(resnet(0), question) for question in questions
    ]


def test_a_picture_may_come_as_a_field_or_without_a_type(
    server: Server, second: str
) -> None:
    question = picture(100)
    boundary = b'--limit\r\nContent-Disposition: form-data; name="data";'
    field = boundary + b' filename="p.png"\r\nContent-Type: image/png\r\n\r\n'
    form = Question(
        field + question.body + b"\r\n--limit--\r\n",
        "multipart/form-data; boundary=limit",
    )

    replies = [server.ask(second, each) for each in (form, Question(question.body, ""))]

    assert [reply.json for reply in replies] == [classified(resnet(0), question)] * 2


# ------------------------------------- all functions, three workers starting at once

STEPS = [
    "git clone https://github.com/someproject/project.git",
    "build in ",
    "wget https://someserver.com/somefile.zip",
    "unzip somefile.zip",
]
"""What the guide's install_packages and unpack_dependencies do, in that order."""


def serve_third(server: Server, version: str, *, workers: int) -> Path:
    entry = server.serve(
        "everything",
        workers=workers,
        version=version,
        unpacked=True,
        files={
            "handler_model.py": THIRD,
            "checkpoint.pt": weights_of(resnet(0)),
            **TORCHVISION,
        },
        model=BROUGHT_ALONG,
        config={
            "system": {"extraFiles": "sources.tgz"},
            "minWorkers": workers,
            "maxWorkers": workers,
        },
    )
    return server.model_store / entry


@pytest.fixture(scope="module")
def everything(guide: tuple[Server, Path]) -> tuple[Path, list[str]]:
    """The model's directory, and what its functions did when it was loaded."""
    server, record = guide
    directory = serve_third(server, "1.0", workers=3)
    return directory, record.read_text().splitlines()


def test_what_a_model_installs_is_installed_once_for_all_its_workers(
    server: Server, everything: tuple[Path, list[str]]
) -> None:
    directory, done = everything

    assert [line.partition(str(directory))[0] for line in done] == STEPS
    assert (directory / "some" / "file.txt").read_text() == "unzipped"
    assert (directory / "torchvision" / "models" / "__init__.py").is_file()
    question = picture(50)
    replies = server.ask_together("everything", [question] * 12)
    assert [r.json for r in replies] == [classified(resnet(0), question)] * 12


def test_a_worker_that_starts_later_uses_what_is_there(
    guide: tuple[Server, Path], everything: tuple[Path, list[str]]
) -> None:
    server, record = guide
    before = record.read_text()

    reply = server.scale("everything", "1.0", workers=4)

    assert reply.status == 200, reply.body
    server.await_ready("everything", "1.0", workers=4)
    assert record.read_text() == before


def test_another_version_installs_its_own(
    guide: tuple[Server, Path], everything: tuple[Path, list[str]]
) -> None:
    server, record = guide
    before = record.read_text()

    directory = serve_third(server, "2.0", workers=1)

    done = record.read_text().removeprefix(before).splitlines()
    assert [line.partition(str(directory))[0] for line in done] == STEPS
    question = picture(50)
    reply = server.ask("everything", question, version="2.0")
    assert reply.json == classified(resnet(0), question)
