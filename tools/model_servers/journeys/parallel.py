"""Reads of a store that wait for the network, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, wait
from typing import TypeVar

from model_servers.interruption import Threads

AT_ONCE = 16
"""About what hides a round trip to a store; its clients hold connections for more."""

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def each(read: Callable[[_Item], _Found], items: Iterable[_Item]) -> list[_Found]:
    """Call *read* for every item, and give what it returns, in the same order.

    The first error, or Ctrl-C, is the caller's at once: what has not begun never
    does, and a read that hangs is not waited for.
    """
    items = list(items)
    pool = Threads(AT_ONCE, thread_name_prefix="read")
    try:
        begun = [pool.submit(read, item) for item in items]
        wait(begun, return_when=FIRST_EXCEPTION)
        failed = [one for one in begun if one.done() and one.exception() is not None]
        return [one.result() for one in (*failed, *begun)]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
