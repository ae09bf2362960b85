"""What a model installs is there once, for all workers of a host."""

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
from handler.functions import echo
from model_servers_handler.files import STATE_DIRECTORY, locked

HANDLER = Path(base_handler.__file__)


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
