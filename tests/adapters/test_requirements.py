"""Requirements of releases: installed once, and linked into each model."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.installing import Blob, install, visible
from model_servers.adapters.model_store import LocalModelStore
from model_servers.errors import OutsideError
from zoo import write_wheel

REQUIRING = {"build": {"requirements_file": "requirements.txt"}}


def test_requirements_are_installed_once_and_linked_into_each_model(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    make_blob: Callable[..., Blob],
) -> None:
    files = {"requirements.txt": write_wheel(tmp_path / "wheels")}
    first = make_blob(model=REQUIRING, files=files)
    second = make_blob(version="1.0.1", model=REQUIRING, files=files)

    install(model_store, first)
    packages = root / ".model-servers" / "requirements"
    (folder,) = (path for path in packages.iterdir() if path.is_dir())
    (tmp_path / "wheels" / "tinylib-1.0-py3-none-any.whl").unlink()
    install(model_store, second)

    for version in ("1.0.0", "1.0.1"):
        package = root / f"tiny-{version}" / "tinylib"
        assert package.readlink() == folder / "tinylib"
        assert (package / "__init__.py").read_text() == "NUMBER = 42\n"


def test_pip_is_needed_until_the_requirements_are_here_for_any_release(
    model_store: LocalModelStore,
    tmp_path: Path,
    make_blob: Callable[..., Blob],
) -> None:
    files = {"requirements.txt": write_wheel(tmp_path / "wheels")}
    first = make_blob(model=REQUIRING, files=files)
    second = make_blob(version="1.0.1", model=REQUIRING, files=files)
    plain = make_blob(version="1.0.2")

    def needs(blob: Blob) -> bool:
        return model_store.needs_pip(
            blob.release,
            read_range=lambda offset, length: b"".join(blob.chunks(offset, length)),
        )

    assert [needs(blob) for blob in (first, second, plain)] == [True, True, False]

    install(model_store, first)

    assert [needs(blob) for blob in (first, second, plain)] == [False, False, False]


def test_a_file_of_the_model_hides_a_package_of_its_name(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    make_blob: Callable[..., Blob],
) -> None:
    requirement = write_wheel(tmp_path / "wheels")
    blob = make_blob(
        model={"build": {**REQUIRING["build"], "extra_files": ["tinylib"]}},
        files={"requirements.txt": requirement, "tinylib/own.py": "OWN = 1\n"},
    )

    install(model_store, blob)

    assert os.listdir(root / "tiny-1.0.0" / "tinylib") == ["own.py"]  # noqa: PTH208


def test_requirements_that_cannot_be_installed_are_told_in_pips_words(
    model_store: LocalModelStore,
    root: Path,
    tmp_path: Path,
    make_blob: Callable[..., Blob],
) -> None:
    requirement = write_wheel(tmp_path / "wheels")
    wheel = tmp_path / "wheels" / "tinylib-1.0-py3-none-any.whl"
    data = wheel.read_bytes()
    wheel.unlink()
    blob = make_blob(model=REQUIRING, files={"requirements.txt": requirement})

    with pytest.raises(OutsideError) as caught:
        install(model_store, blob)

    (log,) = (root / ".model-servers" / "requirements").glob("*.log")
    assert str(caught.value) == (
        "pip cannot install the requirements: Could not install packages due to an "
        f"OSError: [Errno 2] No such file or directory: '{wheel}'"
    )
    assert caught.value.hint == f"read {log}"
    assert visible(root) == []
    assert model_store.installed() == {}

    wheel.write_bytes(data)
    blob.ranges.clear()
    install(model_store, blob)

    assert blob.ranges == []
    assert (root / "tiny-1.0.0" / "tinylib" / "__init__.py").is_file()


def test_a_python_that_does_not_run_is_named(
    root: Path, tmp_path: Path, make_blob: Callable[..., Blob]
) -> None:
    model_store = LocalModelStore(root, python=str(tmp_path / "python"))
    blob = make_blob(model=REQUIRING, files={"requirements.txt": "six\n"})

    with pytest.raises(OutsideError) as caught:
        install(model_store, blob)

    assert str(caught.value).startswith(f"the Python {tmp_path}/python does not run: ")
    assert caught.value.hint == "correct torchserve.python in the host profile"
