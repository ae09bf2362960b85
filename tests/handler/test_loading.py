"""From TorchServe's first call to a worker that is ready, or a reason in one line."""

import fcntl
import json
import logging
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

import base_handler
from base_handler import handler_factory
from model_servers.adapters.mar import MarWriter
from model_servers_handler.files import STATE_DIRECTORY, locked
from model_servers_handler.loading import LOAD_ERROR
from model_servers_handler.options import Options

HANDLER = Path(base_handler.__file__)

ECHO = """
from base_handler import handler_factory

def init_function(word="hello"):
    return lambda batch: [f"{word} {value}" for value in batch]

handler = handler_factory(init_function)
"""


def echo(**_: Any) -> Any:
    return list


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


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        pytest.param(
            {"handler": {"chanels_last": True}},
            "model-config.yaml: handler has no option 'chanels_last'; did you mean"
            " channels_last?",
            id="a slip",
        ),
        pytest.param(
            {"system": {"maxGpuMemory": 500}},
            "model-config.yaml: system has no option 'maxGpuMemory'; did you mean"
            " maxGPUMemory?",
            id="other capitals",
        ),
        pytest.param(
            {"system": {"zzz": 1}},
            "model-config.yaml: system has no option 'zzz'; the options are extraFiles,"
            " maxGPUMemory",
            id="nothing like it",
        ),
        pytest.param(
            {"handler": ["compile"]},
            "model-config.yaml: handler must be a mapping of options",
            id="a list",
        ),
        pytest.param(
            {"system": {"maxGPUMemory": 0}},
            "model-config.yaml: system.maxGPUMemory is 0; expected a number of MB above"
            " 0",
            id="no memory",
        ),
        pytest.param(
            {"system": {"maxGPUMemory": "500MB"}},
            "model-config.yaml: system.maxGPUMemory is '500MB'; expected a number of MB"
            " above 0",
            id="memory as text",
        ),
        pytest.param(
            {"handler": {"autocast": "int8"}},
            "model-config.yaml: handler.autocast is 'int8'; expected bfloat16 or"
            " float16",
            id="autocast",
        ),
        pytest.param(
            {"handler": {"preprocess_threads": True}},
            "model-config.yaml: handler.preprocess_threads is True; expected a whole"
            " number above 0",
            id="threads",
        ),
        pytest.param(
            {"handler": {"warmup": {"json": 1, "text": "1"}}},
            "model-config.yaml: handler.warmup is {'json': 1, 'text': '1'}; expected a"
            " mapping of content_type and one of json, text, file",
            id="warmup",
        ),
        pytest.param(
            {"handler": {"init_kwargs": {1: 2}}},
            "model-config.yaml: handler.init_kwargs is {1: 2}; expected a mapping of"
            " arguments by name",
            id="arguments",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(
    models: Any, config: dict[str, Any], reason: str
) -> None:
    assert models.refusal(handler_factory(echo), config=config) == reason


@pytest.mark.parametrize("config", [None, {}, {"handler": None, "system": {}}])
def test_no_options_are_all_defaults(models: Any, config: Any) -> None:
    assert models.load(handler_factory(echo), config=config).handler.options == (
        Options()
    )


def test_arguments_in_the_code_win_over_those_in_the_config(models: Any) -> None:
    def init_function(**kwargs: Any) -> Any:
        return lambda batch: [{**kwargs, "seen": value} for value in batch]

    def preprocess(value: Any, scale: int, shift: int) -> Any:
        return value * scale + shift

    def postprocess(value: Any, unit: str) -> Any:
        return {**value, "unit": unit}

    served = models.load(
        handler_factory(
            init_function, preprocess, postprocess, preprocess_kwargs={"scale": 10}, a=1
        ),
        config={
            "handler": {
                "init_kwargs": {"a": 0, "b": 2},
                "preprocess_kwargs": {"scale": 0, "shift": 5},
                "postprocess_kwargs": {"unit": "m"},
            }
        },
    )

    assert served.ask_json(7)[0].json == {"a": 1, "b": 2, "seen": 75, "unit": "m"}


def test_arguments_that_a_function_does_not_take_are_refused(models: Any) -> None:
    functions = handler_factory(echo, lambda value: value, preprocess_kwargs={"top": 1})

    assert models.refusal(functions) == (
        "preprocess_function cannot be called: got an unexpected keyword argument 'top'"
    )


def test_a_function_that_takes_no_sample_is_refused(models: Any) -> None:
    assert models.refusal(handler_factory(echo, None, lambda: 1)) == (
        "postprocess_function cannot be called: too many positional arguments"
    )


@pytest.mark.parametrize(
    "warmup",
    [
        pytest.param({"content_type": "application/json", "json": [1]}, id="json"),
        pytest.param({"content_type": "application/json", "text": "[1]"}, id="text"),
        pytest.param({"file": "example.json"}, id="file"),
    ],
)
def test_a_worker_is_ready_once_it_answered_the_example(
    models: Any, warmup: dict[str, Any]
) -> None:
    models.write({"example.json": "[1]"})
    seen: list[Any] = []

    models.load(
        handler_factory(lambda: lambda batch: seen.append(batch) or batch),  # type: ignore[func-returns-value]  # records
        config={"handler": {"warmup": warmup}},
        batch_size=3,
    )

    assert seen == [[[1]], [[1], [1], [1]]]


def test_the_example_can_be_given_in_the_code(models: Any) -> None:
    seen: list[Any] = []

    models.load(handler_factory(echo, seen.append, example_input="x"))

    assert seen == ["x"]


@pytest.mark.parametrize("size", [1, 4])
def test_an_example_that_fails_is_a_reason_not_to_serve(models: Any, size: int) -> None:
    def init_function() -> Any:
        def model(batch: list[Any]) -> list[Any]:
            if len(seen) < size:
                seen.extend(batch)
                return batch
            raise KeyError("two\nlines")

        return model

    seen: list[Any] = [None] * (1 if size == 1 else 3)
    functions = handler_factory(init_function, example_input=1)

    assert models.refusal(functions, batch_size=4) == (
        f"the warm-up in a batch of {size} failed: KeyError: 'two\\nlines'"
    )


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


def test_install_functions_run_once_in_their_order(models: Any) -> None:
    log: list[str] = []
    functions = handler_factory(
        lambda: log.append("init") or (lambda batch: batch),  # type: ignore[func-returns-value]  # records
        install_packages=lambda name: log.append(f"install {name}"),
        unpack_dependencies=lambda: log.append("unpack"),
        install_packages_kwargs={"name": "x"},
    )

    models.load(functions)
    models.load(functions)

    assert log == ["install x", "unpack", "init", "init"]


@pytest.mark.parametrize("name", ["install_packages", "unpack_dependencies"])
def test_an_install_function_that_fails_is_named_and_tried_again(
    models: Any, name: str
) -> None:
    tries: list[int] = []

    def install() -> None:
        tries.append(1)
        raise OSError("no\nnetwork")

    functions = handler_factory(echo, **{name: install})

    assert models.refusal(functions) == f"{name} failed: OSError: no network"
    assert models.refusal(functions) == f"{name} failed: OSError: no network"
    assert len(tries) == 2


def test_what_install_packages_installs_can_be_imported_by_init(models: Any) -> None:
    served = models.load("""
from pathlib import Path
from base_handler import handler_factory

def install_packages():
    Path("installed_here.py").write_text("WORD = 'hi'")

def init_function():
    from installed_here import WORD
    return lambda batch: [WORD for _ in batch]

handler = handler_factory(init_function, install_packages=install_packages)
""")

    assert served.ask_json(1)[0].body == b"hi"


def test_install_functions_run_again_for_another_version_or_host(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    functions = handler_factory(echo, install_packages=lambda: runs.append(1))
    models.write({"handler_model.py": "# 1"})
    models.load(functions)
    models.write({"handler_model.py": "# 2"})
    models.load(functions)
    monkeypatch.setattr("socket.gethostname", lambda: "another-container")
    models.load(functions)

    assert len(runs) == 3


WORKER = """
import sys
sys.path[:0] = [{handler!r}, {directory!r}]
import base_handler
from types import SimpleNamespace

context = SimpleNamespace(
    system_properties={{"model_dir": {directory!r}, "gpu_id": None, "batch_size": 1}},
    manifest={{"model": {{"modelFile": "handler_model.py"}}}},
    model_yaml_config={{"system": {{"extraFiles": "extra.tar"}}}},
)
sys.stdin.read()
base_handler.handle(None, context)
"""

SLOW = """
import os
from base_handler import handler_factory
from extra_words import WORD

def install_packages():
    with open("runs.txt", "a") as file:
        print(os.getpid(), file=file)

handler = handler_factory(lambda: print, install_packages=install_packages)
"""


def test_workers_that_start_together_unpack_and_install_once(
    models: Any, tmp_path: Path
) -> None:
    (tmp_path / "extra_words.py").write_text("WORD = 1")
    with tarfile.open(models.directory / "extra.tar", "w") as archive:
        archive.add(tmp_path / "extra_words.py", "extra_words.py")
    models.write({"handler_model.py": SLOW})
    code = WORKER.format(handler=str(HANDLER.parent), directory=str(models.directory))
    workers = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        for _ in range(4)
    ]

    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.close()  # they wait for this, so that they start together

    assert [worker.wait(timeout=20) for worker in workers] == [0] * 4
    assert len((models.directory / "runs.txt").read_text().split()) == 1


def test_a_lock_is_held_by_one_worker_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    order: list[str] = []

    def wait_for_it() -> None:
        with locked(path):
            order.append("second")

    other = threading.Thread(target=wait_for_it)
    with locked(path), path.open() as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        other.start()
        other.join(timeout=0.1)
        order.append("first")
    other.join(timeout=10)

    assert order == ["first", "second"]


def test_a_read_only_model_directory_has_its_markers_elsewhere(
    models: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models.write({STATE_DIRECTORY: "a file, so no directory can be made"})
    runs: list[int] = []
    functions = handler_factory(echo, install_packages=lambda: runs.append(1))

    with caplog.at_level(logging.WARNING):
        models.load(functions)
        models.load(functions)

    assert runs == [1]
    assert len(list(tmp_path.glob("model-servers-*/*/install_packages.done"))) == 1
    assert "the model's directory is read-only; its markers are in" in caplog.text


def test_a_markers_directory_of_another_user_is_not_trusted(
    models: Any, tmp_path: Path
) -> None:
    models.write({STATE_DIRECTORY: "a file, so no directory can be made"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"model-servers-{os.getuid()}").symlink_to(tmp_path / "elsewhere")

    reason = models.refusal(handler_factory(echo, install_packages=echo))

    assert reason.endswith("belongs to another user; remove it")


def test_describe_tells_the_release_that_a_host_installed(models: Any) -> None:
    release = {"archive": {"sha256": "abc"}, "git_commit": "def", "schema": 1}
    models.write({"MAR-INF/release.json": json.dumps(release)})
    served = models.load(handler_factory(echo))
    served.context.headers = [{"describe": "True"}]

    (body,) = served.entry([{}], served.context)

    facts = json.loads(body)
    assert (facts["archiveDigest"], facts["gitCommit"]) == ("abc", "def")
