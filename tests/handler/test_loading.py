"""From TorchServe's first call to a worker that is ready, or a reason in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import base_handler
from base_handler import handler_factory
from handler.functions import echo
from model_servers.adapters.mar import MarWriter
from model_servers_handler.loading import LOAD_ERROR

HANDLER = Path(base_handler.__file__)


ECHO = """
from base_handler import handler_factory

def init_function(word="hello"):
    return lambda batch: [f"{word} {value}" for value in batch]

handler = handler_factory(init_function)
"""


def test_the_authors_file_gets_this_very_module(models: Any) -> None:
    served = models.load(ECHO)

    assert served.ask_json("you")[0].body == b"hello you"
    assert sys.modules["handler_model"].handler_factory is handler_factory


def test_the_factorys_product_is_an_entry_too(models: Any) -> None:
    assert models.load(handler_factory(echo)).ask_json(1)[0].json == 1


def test_importing_the_handler_imports_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import base_handler;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(new - sys.stdlib_module_names))"
    )

    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(HANDLER.parent)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout.split() == ["base_handler", "model_servers_handler"]


def test_the_worker_leaves_json_to_the_handler(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.load(handler_factory(echo))

    assert os.environ["TS_DECODE_INPUT_REQUEST"] == "false"


def test_files_beside_the_model_are_opened_by_name(models: Any) -> None:
    models.write({"labels.txt": "cat"})

    served = models.load(
        handler_factory(lambda: lambda batch: [Path("labels.txt").read_text()])
    )

    assert served.ask_json(1)[0].body == b"cat"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        pytest.param(
            "x = 1",
            "handler_model.py makes no handler; end it with handler ="
            " handler_factory(...)",
            id="no handler",
        ),
        pytest.param(
            ECHO.replace("handler =", "one = handler_factory(init_function)\ntwo ="),
            "handler_model.py makes several handlers (one, two); name the one to serve"
            " `handler`",
            id="two handlers",
        ),
        pytest.param(
            "import not_there",
            "handler_model.py cannot be imported: ModuleNotFoundError: No module named"
            " 'not_there'; add what is missing to requirements.txt or"
            " system.extraFiles, or, if install_packages installs it, import it inside"
            " init_function",
            id="a missing package",
        ),
        pytest.param(
            "1 / 0",
            "handler_model.py cannot be imported: ZeroDivisionError: division by zero",
            id="an exception",
        ),
        pytest.param(
            "def broken(:",
            "handler_model.py cannot be imported: SyntaxError: invalid syntax"
            " (handler_model.py, line 1)",
            id="no Python",
        ),
        pytest.param(
            "from base_handler import handler_factory\nhandler_factory(None, 'text')",
            "handler_model.py cannot be imported: TypeError: preprocess_function is a"
            " function, found str",
            id="no function",
        ),
        pytest.param(
            "import torch\nfrom base_handler import handler_factory\n"
            "handler_factory(torch.nn.ReLU())",
            "handler_model.py cannot be imported: TypeError: init_function is a"
            " function that makes the model, found a ReLU; pass its name without ()",
            id="a model in the place of init_function",
        ),
        pytest.param(
            ECHO.replace("lambda batch", "1 / 0 and (lambda batch").replace(
                "for value in batch]", "for value in batch])"
            ),
            "init_function failed: ZeroDivisionError: division by zero",
            id="init_function raises",
        ),
        pytest.param(
            ECHO.replace("(init_function)", "(init_function, wrod='x')"),
            "init_function cannot be called: got an unexpected keyword argument 'wrod';"
            " it gets what handler_factory does not know",
            id="an argument that init_function lacks",
        ),
    ],
)
def test_a_file_that_gives_no_model_is_refused_in_one_line(
    models: Any, source: str, reason: str
) -> None:
    assert models.refusal(source) == reason


def test_of_several_handlers_the_one_named_handler_serves(models: Any) -> None:
    source = ECHO + "\nother = handler_factory(init_function, word='bye')\n"

    assert models.load(source).ask_json(1)[0].body == b"hello 1"


def test_a_manifest_without_a_model_file_is_refused(models: Any) -> None:
    assert models.refusal(manifest={"model": {}}) == (
        "the manifest has no modelFile; pack the model with `ms build`"
    )


def test_a_reason_that_is_no_unicode_is_still_a_runtime_error(models: Any) -> None:
    def init_function() -> Any:
        raise ValueError("\ud800")

    assert models.refusal(handler_factory(init_function)).endswith("\ud800")


def test_the_reason_is_left_beside_the_model_until_it_loads(models: Any) -> None:
    broken = handler_factory(lambda: 1 / 0)
    left = models.directory / LOAD_ERROR

    reason = models.refusal(broken)
    assert left.read_text() == reason

    models.load(handler_factory(echo))
    assert not left.exists()


def test_memory_that_runs_out_on_the_gpu_is_said_as_torchserve_expects(
    models: Any,
) -> None:
    def init_function() -> Any:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    assert "CUDA" in models.refusal(handler_factory(init_function))


def test_memory_that_runs_out_on_the_host_stays_a_memory_error(models: Any) -> None:
    def init_function() -> Any:
        raise MemoryError

    with pytest.raises(MemoryError):
        models.load(handler_factory(init_function))


def test_describe_tells_what_is_running(models: Any) -> None:
    manifest = {
        "model": {"modelName": "tiny", "modelVersion": "1.2"},
        "modelServers": {"inputsDigest": "abc", "handlerDigest": "def"},
    }
    served = models.load(handler_factory(echo), manifest=manifest)
    served.context.headers = [{"describe": "True"}]

    (body,) = served.entry([{}], served.context)

    facts = json.loads(body)
    assert facts.pop("loadSeconds") < 10
    assert facts == {
        "name": "tiny",
        "version": "1.2",
        "inputsDigest": "abc",
        "handlerDigest": "def",
        "runningHandlerDigest": MarWriter().toolchain()["handler_sha256"],
        "device": "cpu",
        "safeBatch": None,
    }
    assert served.context.types == {0: "application/json"}


def test_a_client_cannot_turn_its_request_into_describe(models: Any) -> None:
    served = models.load(handler_factory(echo))

    assert served.ask((b"1", "application/json", {"describe": "True"}))[0].json == 1
