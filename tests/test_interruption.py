"""How a program ends that is told to: once, cleaned up, whatever it was at."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import model_servers
from model_servers.interruption import (
    Threads,
    interrupt,
    stop_on_signals,
    uninterrupted,
)

TOOLS = Path(model_servers.__file__).parents[1]
LIMIT_S = 60


def run(program):
    """Run a program to its end."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(TOOLS)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S // 2,
        check=False,
    )


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


@pytest.mark.parametrize("moment", range(1, 30))
def test_a_signal_at_any_moment_of_a_wait_ends_it(moment):
    """Also where its handler runs between two instructions of the wait itself."""
    passed = 0

    def trace(frame, event, _):
        nonlocal passed
        frame.f_trace_opcodes = True
        passed += event == "opcode"
        if event == "opcode" and passed == moment:
            signal.raise_signal(signal.SIGTERM)
        return trace

    before = sys.gettrace()
    with stop_on_signals() as stop:
        sys.settrace(trace)
        waited = [stop.wait(0.01) for _ in range(moment)]
        sys.settrace(before)

    assert waited[-1]
    assert stop.is_wanted()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_the_starter_of_the_program_ignores_does_not_end_it(number):
    program = (
        "import signal; from model_servers.cli import fetch, main; "
        f"fetch.fetch = lambda *_: signal.raise_signal({number:d}) or 0; "
        "main.sys.argv = ['ms', 'fetch', 'digits']; main.run()"
    )
    before = signal.signal(number, signal.SIG_IGN)
    try:
        ended = run(program)
    finally:
        signal.signal(number, before)

    assert (ended.returncode, ended.stderr) == (0, "")


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

    ended = run(program)

    assert ended.stderr == "ms: interrupted; run the same command again to go on\n"
    assert ended.returncode == 130


TWICE = """
import os, signal, sys
from model_servers import interruption
from model_servers.cli import fetch, main

def twice(*_):
    try:
        os.kill(os.getpid(), signal.{number})
    finally:
        if {is_later}:
            interruption._state.deaf_until = 0
        os.kill(os.getpid(), signal.{number})
        main.say("cleaned up")

fetch.fetch = twice
sys.argv = ["ms", "fetch", "digits"]
main.run()
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize(
    ("is_later", "told"), [(False, ["cleaned up"]), (True, [])], ids=["twin", "later"]
)
def test_only_a_second_signal_that_is_no_twin_cuts_off_what_cleans_up(
    number, is_later, told
):
    program = TWICE.format(number=number, is_later=is_later)

    ended = run(program)

    assert ended.stderr.splitlines()[:-1] == told
    assert ended.returncode == 130
