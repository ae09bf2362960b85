"""How a program ends that is told to: once, cleaned up, whatever it was at."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import model_servers
from model_servers.interruption import Threads, interrupt, uninterrupted

TOOLS = Path(model_servers.__file__).parents[1]
LIMIT_S = 60


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def number(request):
    before = signal.signal(request.param, lambda *_: interrupt())
    yield request.param
    signal.signal(request.param, before)


def test_an_interruption_waits_for_the_end_of_all_blocks(number):
    seen = []

    def work():
        with uninterrupted():
            with uninterrupted():
                signal.raise_signal(number)
                seen.append("inner")
            seen.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert seen == ["inner", "outer"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_a_block_of_another_thread_holds_nothing_back(number):
    inside, done = threading.Event(), threading.Event()

    def hold():
        with uninterrupted():
            inside.set()
            done.wait(LIMIT_S)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(LIMIT_S)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    finally:
        done.set()
        thread.join()


def test_an_error_does_not_wait_for_work_that_has_not_begun():
    hold, begun = threading.Event(), []

    def work(number):
        begun.append(number)
        hold.wait(LIMIT_S)

    def fail(pool):
        for one in range(100):
            pool.submit(work, one)
        hold.set()
        raise KeyError

    with pytest.raises(KeyError), Threads(1) as pool:
        fail(pool)

    assert len(begun) < 100


PROGRAM = """
import os, signal, sys, time, weakref
from model_servers.cli import fetch, main

class Thing: pass

def in_a_finalizer(*_):
    thing = Thing()
    weakref.finalize(thing, os.kill, os.getpid(), signal.{number})
    del thing
    for _ in range({limit_s}):
        time.sleep(1)

def in_an_exec(*_):
    exec("import os, signal, time; os.kill(os.getpid(), signal.{number})")

def beside_a_thread_that_hangs(*_):
    import threading
    threading.Thread(target=time.sleep, args=[{limit_s}]).start()
    os.kill(os.getpid(), signal.{number})

fetch.fetch = {where}
sys.argv = ["ms", "fetch", "digits"]
main.run()
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    "where", ["in_a_finalizer", "in_an_exec", "beside_a_thread_that_hangs"]
)
def test_the_program_ends_as_interrupted(where, number):
    program = PROGRAM.format(where=where, number=number, limit_s=LIMIT_S)

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(TOOLS)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S // 2,
        check=False,
    )

    assert ended.stderr == "ms: interrupted; run the same command again to go on\n"
    assert ended.returncode == 130
