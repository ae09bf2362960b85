"""What a host remembers survives; what a crash cut short does no harm."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from model_servers.adapters.host_memory import FileHostMemory
from model_servers.core.entries import Layout
from model_servers.core.memory import Event, Memory
from model_servers.errors import OutsideError

SERVED = Memory(served={"cat": ("1.0",)})
HOME = Path(".model-servers", "host")


def _event(what: str) -> Event:
    return Event(when="", who="", what=what, model="cat", before=None, after="1.0")


def test_a_new_host_remembers_nothing_and_nothing_is_written(tmp_path: Path) -> None:
    memory = FileHostMemory(tmp_path, config=None)

    assert memory.read() == Memory()
    assert memory.events() == []
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_read_by_the_next_one(tmp_path: Path) -> None:
    FileHostMemory(tmp_path, config=None).write(SERVED)

    assert FileHostMemory(tmp_path, config=None).read() == SERVED
    assert not (tmp_path / HOME / "config.properties").exists()


def test_a_memory_that_fits_only_in_part_leaves_the_old_one(tmp_path: Path) -> None:
    """As on a disk with room for the first block of it: that write succeeds."""
    memory = FileHostMemory(tmp_path, config=None)
    memory.write(SERVED)
    size_bytes = (tmp_path / HOME / "memory.json").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        with pytest.raises(OutsideError, match="cannot be written"):
            memory.write(SERVED.with_served("other", ["1.0.0"]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert memory.read() == SERVED


def test_torchserve_gets_a_config_with_what_is_served(tmp_path: Path) -> None:
    config = tmp_path / "config.properties"
    config.write_bytes(b"# \xe9\nmodel_store=/m\n")

    FileHostMemory(tmp_path, config=config).write(SERVED)

    written = (tmp_path / HOME / "config.properties").read_bytes()
    assert written.startswith(b"# \xe9\nmodel_store=/m\n")
    assert b"\nload_models=cat=cat-1.0\n" in written


@pytest.mark.parametrize(
    ("there", "loaded"),
    [
        pytest.param([], "cat-1.0.mar", id="none"),
        pytest.param(["cat-1.0"], "cat-1.0", id="the other"),
        pytest.param(["cat-1.0", "cat-1.0.mar"], "cat-1.0.mar", id="both"),
    ],
)
def test_torchserve_is_told_to_load_the_entry_that_is_there(
    tmp_path: Path, there: list[str], loaded: str
) -> None:
    config = tmp_path / "config.properties"
    config.touch()
    for name in there:
        (tmp_path / name).mkdir()

    FileHostMemory(tmp_path, config=config, layout=Layout.MAR).write(SERVED)

    written = (tmp_path / HOME / "config.properties").read_text()
    assert f"\nload_models=cat={loaded}\n" in written


def test_a_config_that_is_not_there_is_named(tmp_path: Path) -> None:
    memory = FileHostMemory(tmp_path, config=tmp_path / "none.properties")

    with pytest.raises(OutsideError, match=r"none\.properties cannot be read") as error:
        memory.write(SERVED)

    assert error.value.hint == (
        f"ms sync install --print config.properties > {tmp_path}/none.properties; "
        "or correct torchserve.config in the host profile"
    )
    assert memory.read() == SERVED


def test_events_are_added_also_after_one_that_was_cut(tmp_path: Path) -> None:
    memory = FileHostMemory(tmp_path, config=None)
    memory.add(_event("first"))
    with (tmp_path / HOME / "history.jsonl").open("ab") as stream:
        stream.write(b'{"when": "')

    memory.add(_event("second"))

    assert [one.what for one in memory.events()] == ["first", "second"]


def test_the_readiness_file_comes_and_goes(tmp_path: Path) -> None:
    memory = FileHostMemory(tmp_path, config=None)

    memory.show_ready(None)
    memory.show_ready("{}")
    assert (tmp_path / HOME / "ready").read_text() == "{}"
    memory.show_ready(None)

    assert not (tmp_path / HOME / "ready").exists()


@pytest.mark.parametrize(
    ("name", "read", "what"),
    [
        ("memory.json", FileHostMemory.read, "the memory of this host"),
        ("history.jsonl", FileHostMemory.events, "the history of this host"),
    ],
)
def test_what_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, name: str, read: Callable[[FileHostMemory], object], what: str
) -> None:
    (tmp_path / ".model-servers" / "host" / name).mkdir(parents=True)

    with pytest.raises(OutsideError, match=rf"^{what} failed: .*{name}") as error:
        read(FileHostMemory(tmp_path, config=None))

    assert error.value.hint == "check the folder's permissions"
