"""What a sync does, told to a file that takes it no more."""

from __future__ import annotations

import json
import os

import pytest

from model_servers.cli.host.events import events
from model_servers.cli.watch import ConsoleWatcher
from model_servers.core.changes import Register
from model_servers.core.names import Ref

REGISTER = Register(ref=Ref.parse("digits@1.0"))


@pytest.fixture
def pipe(tmp_path):
    """A pipe with a reader, and the reader."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    return tmp_path / "pipe", reader


def test_a_reader_that_goes_is_told_once_and_stops_nothing(pipe, capsys):
    path, reader = pipe
    with events(ConsoleWatcher(), str(path), lambda: "now") as watcher:
        watcher.starts(REGISTER)
        line = os.read(reader, 65536)
        os.close(reader)
        watcher.starts(REGISTER)
        watcher.starts(REGISTER)

    assert json.loads(line)["event"] == "starts"
    assert capsys.readouterr().err == f"ms: {path} gets no more events: Broken pipe\n"


def test_a_full_disk_is_told_once_and_stops_nothing(capsys):
    with events(ConsoleWatcher(), "/dev/full", lambda: "now") as watcher:
        watcher.starts(REGISTER)
        watcher.starts(REGISTER)

    told = "ms: /dev/full gets no more events: No space left on device\n"
    assert capsys.readouterr().err == told
